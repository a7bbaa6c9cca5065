"""`docs/beam.md`: every command is run by a test or says why not; what it names is there."""

import re
import shlex
from pathlib import Path

import apache_beam
import pytest
import yaml

from configs.beam import FLINK_VERSIONS, FlinkConfig
from configs.errors import ConfigError
from configs.load import load_config
from pipeline.places import check_places

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "beam.md").read_text()
FLINK = ROOT / "deploy" / "flink"
NOT_RUN_HERE = {
    "make run": "needs Flink's job server; tests/e2e/test_beam_runners.py runs stages on it",
    ".venv/bin/loupe run": "needs Flink or Dataflow; the settings are read below",
    "kubectl apply": "needs a cluster; the folders are rendered by test_policy.py",
    ".venv/bin/python -m benchmarks": "takes minutes; that the names exist is looked up below",
    "kubectl logs": "needs a cluster; the job is looked up in the manifests",
}
RUN_ELSEWHERE = (".venv/bin/python -m components.beam_worker_pool",)
"""By tests/components/test_beam_worker_pool.py."""


def shell_lines():
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        yield from block.splitlines()


def test_every_command_is_run_or_has_a_reason_not_to():
    lines = list(shell_lines())
    assert len(lines) >= 7
    for line in lines:
        assert line.startswith((*NOT_RUN_HERE, *RUN_ELSEWHERE)), line


def test_settings_of_the_commands_make_flags():
    from components.beam_args import beam_args

    found = [shlex.split(line) for line in shell_lines() if "loupe run" in line]
    assert len(found) == 2
    for words in found:
        overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        config = load_config(words[words.index("--config") + 1], overrides)
        assert beam_args(config.beam)


def test_the_places_of_the_command_for_dataflow_reach_its_workers(storage):
    (words,) = [shlex.split(line) for line in shell_lines() if "--config dataflow" in line]
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    overrides += [f"data.path={words[words.index('--data') + 1]}"]
    storage.make_bucket("my-bucket")
    check_places(load_config("dataflow", overrides))
    with pytest.raises(ConfigError, match="data.path is '', which Dataflow's workers do not reach"):
        check_places(load_config("dataflow", overrides[:-1]))


def test_the_benchmarks_exist():
    from benchmarks.__main__ import BENCHMARKS

    named = re.findall(r"-m benchmarks (\w+)", PAGE)
    assert len(named) == 2
    assert set(named) <= set(BENCHMARKS)


def test_the_versions_are_those_of_the_code_and_the_manifests():
    assert f"Flink {', '.join(FLINK_VERSIONS[:-1])} and {FLINK_VERSIONS[-1]}" in PAGE
    tags = {
        image["name"]: image["newTag"]
        for image in yaml.safe_load((FLINK / "kustomization.yaml").read_text())["images"]
    }
    version = FlinkConfig().version
    assert tags["flink"].startswith(f"{version}.")
    assert tags[f"apache/beam_flink{version}_job_server"] == apache_beam.__version__
    assert f"apache/beam_python3.11_sdk:{apache_beam.__version__}" in PAGE


@pytest.fixture(scope="module")
def parts():
    return {path.stem: list(yaml.safe_load_all(path.read_text())) for path in FLINK.glob("*.yaml")}


def container(parts, part, name):
    (found,) = [
        c for c in parts[part][0]["spec"]["template"]["spec"]["containers"] if c["name"] == name
    ]
    return found


def test_the_named_run_finds_what_the_manifests_start(parts):
    flink = load_config("flink").beam.flink
    service = parts["job-server"][1]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert flink.job_server == f"{service['metadata']['name']}:{ports['jobs']}"
    pool = container(parts, "task-manager", "worker-pool")
    assert flink.worker == f"localhost:{pool['ports'][0]['containerPort']}"
    assert f"--port={pool['ports'][0]['containerPort']}" in pool["command"]
    assert (
        f"--job-host={service['metadata']['name']}"
        in container(parts, "job-server", "job-server")["args"]
    )
    cluster = yaml.safe_load((FLINK / "config.yaml").read_text())
    slots = cluster["taskmanager"]["numberOfTaskSlots"]
    assert flink.parallelism == slots * parts["task-manager"][0]["spec"]["replicas"]
    assert flink.workers_per_task_manager == slots


def test_run_and_workers_see_the_same_files(parts):
    run = yaml.safe_load_all((FLINK / "run" / "run.yaml").read_text())
    (job,) = [document for document in run if document["kind"] == "Job"]
    assert "job/" + job["metadata"]["name"] in PAGE
    (runs,) = job["spec"]["template"]["spec"]["containers"]
    pool = container(parts, "task-manager", "worker-pool")

    def shared(mounts):
        return {(m["name"], m["mountPath"]) for m in mounts if m["name"] in {"data", "workspace"}}

    assert shared(runs["volumeMounts"]) == shared(pool["volumeMounts"])
    assert len(shared(pool["volumeMounts"])) == 2
    assert {"/data", "/workspace", "flink"} <= set(runs["args"])
