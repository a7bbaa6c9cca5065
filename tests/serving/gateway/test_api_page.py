"""`docs/api.md`: its commands run, and it names what there is."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "api.md").read_text()


def block(name):
    return re.search(rf"<!-- test: {name} -->\n```sh\n(.*?)^```$", PAGE, re.DOTALL | re.M)[1]


@pytest.fixture(scope="module")
def run_block(gateway, seller_key, tmp_path_factory, draw_photo, encode):
    folder = tmp_path_factory.mktemp("page")
    (folder / "photo.jpg").write_bytes(encode(draw_photo(48, 80), "JPEG"))
    (folder / "other.png").write_bytes(encode(draw_photo(48, 80), "PNG"))

    def run_block(name, **variables):
        """Run each command of a block; returns what each printed."""
        commands = re.split(r"\n(?=\S)", block(name).strip())
        outputs = []
        for command in commands:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env={**os.environ, "URL": gateway.url, "KEY": seller_key, **variables},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"
            outputs.append(json.loads(done.stdout))
        return outputs

    return run_block


def test_one_picture_in_every_form(run_block):
    for answer in run_block("one"):
        assert answer["label"]
        assert len(answer["request_id"]) == 32


def test_several_pictures(run_block):
    batch, single = run_block("batch")
    assert [item["error"] for item in batch["items"]] == [None, None]
    assert single["label"]


def test_the_other_calls(run_block):
    request_id = run_block("one")[0]["request_id"]
    history, feedback, models, live, ready, document = run_block("others", REQUEST_ID=request_id)
    assert "items" in history
    assert feedback["request_id"] == request_id
    assert models["versions"]
    assert live["status"] == "live"
    assert ready["is_ready"] is True
    table = set(re.findall(r"^\| `(?:GET|POST) (/v1/\S+)`", PAGE, re.MULTILINE))
    assert set(document["paths"]) == table


def test_the_metrics_it_names_are_there(gateway):
    with gateway.client() as client:
        text = client.get("/metrics").text
    for name in re.findall(r"`(loupe_gateway_\w+)`", PAGE):
        assert f"\n# HELP {name}" in text
