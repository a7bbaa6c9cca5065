"""Whole runs, as a user starts them; the slow ones are made once and shared."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from configs.types import SampleConfig
from data.synthetic import draw_sample_data

ROOT = Path(__file__).resolve().parents[2]
LOUPE = [sys.executable, "-m", "pipeline"]


@dataclass
class Run:
    """What a finished `loupe run` left."""

    exit_code: int
    output: str
    workspace: Path
    summary: dict

    @classmethod
    def newest(cls, workspace, exit_code=0, output=""):
        summary = json.loads((workspace / "runs" / "latest" / "summary.json").read_text())
        return cls(exit_code, output, workspace, summary)

    def stage(self, name):
        (stage,) = [stage for stage in self.summary["stages"] if stage["name"] == name]
        return stage

    @property
    def cached(self):
        return {stage["name"] for stage in self.summary["stages"] if stage["cached"]}


def environment():
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def loupe_run():
    """Function of (workspace, options) to a finished Run; it may add environment variables."""

    def run(workspace, *options, variables=None):
        done = subprocess.run(
            [*LOUPE, "run", "--config", "smoke", "--workspace", str(workspace), *options],
            cwd=ROOT,
            env=environment() | (variables or {}),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Run.newest(workspace, done.returncode, done.stdout + done.stderr)

    return run


@pytest.fixture(scope="session")
def photos(tmp_path_factory, encoded_formats):
    """A folder of classes: drawn images, one image per format, and some that are broken."""
    folder = tmp_path_factory.mktemp("photos") / "products"
    drawn = draw_sample_data(
        tmp_path_factory.mktemp("drawn") / "d", SampleConfig(num_images=300, seed=3)
    )
    shutil.copytree(drawn, folder)
    (folder / "sample.json").unlink(missing_ok=True)
    first_class = sorted(path for path in folder.iterdir() if path.is_dir())[0]
    for name, data in encoded_formats.items():
        suffix = name.split()[0]
        (first_class / f"format {name}.{suffix}").write_bytes(data)
    some_jpeg = encoded_formats["jpeg large"]
    (first_class / "empty.jpg").write_bytes(b"")
    (first_class / "truncated.jpg").write_bytes(some_jpeg[: len(some_jpeg) // 2])
    (first_class / "page.jpg").write_text("<!DOCTYPE html><html><body>not found</body></html>")
    return folder


@pytest.fixture(scope="session")
def first_run(tmp_path_factory, loupe_run, photos):
    """The run that the other tests look at and build upon."""
    return loupe_run(tmp_path_factory.mktemp("workspace"), "--data", str(photos))


@pytest.fixture(scope="session")
def newest_run():
    """Function of a workspace to its newest Run."""
    return Run.newest


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory, first_run):
    """What the first run pushed and the graph it came from, whatever later runs do."""
    folder = tmp_path_factory.mktemp("snapshot")
    shutil.copytree(first_run.workspace / "serving", folder / "serving")
    (graph,) = (first_run.workspace / "artifacts" / "Transform" / "transform_graph").iterdir()
    shutil.copytree(graph, folder / "transform_graph")
    return folder
