"""`docs/kubernetes.md`: its kustomizations render, its commands name what is there."""

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from configs.cluster import parse_cluster

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
RENDERED = ("overlays/cpu", "overlays/gpu", "overlays/kserve", "pipeline", "training")
NOT_RUN_HERE = {
    "docker build": "tests/deploy/engine builds one; the others download gigabytes",
    "kubectl config": "changes the reader's own settings",
    "kubectl apply": "needs a cluster; the folders are rendered and checked",
    "kubectl wait": "needs a cluster; what it names is looked up in the manifests",
    "kubectl rollout": "needs a cluster; likewise",
    "kubectl exec": "needs a cluster; likewise",
    "KEY=$(kubectl exec": "needs a cluster; likewise",
    "kubectl port-forward": "needs a cluster; likewise",
    "kubectl logs": "needs a cluster; likewise",
    "kubectl label": "needs a cluster; the labels are looked up in the policies",
    "curl": "docs/api.md has the same request, which its test sends",
}
RUN_HERE = ("kubectl create secret",)


def shell_lines():
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        yield from block.replace("\\\n", " ").splitlines()


def lines_of(beginning):
    found = [shlex.split(line) for line in shell_lines() if line.startswith(beginning)]
    assert found
    return found


@pytest.fixture
def resources(render):
    """`kind/name`, in lower case, of all that the manifests make."""
    return {
        f"{document['kind'].lower()}/{document['metadata']['name']}"
        for folder in RENDERED
        for document in render(folder)
    }


def test_every_command_is_run_or_has_a_reason_not_to():
    lines = list(shell_lines())
    assert len(lines) > 20
    for line in lines:
        assert line.startswith((*NOT_RUN_HERE, *RUN_HERE)), line
    for beginning in NOT_RUN_HERE:
        assert any(line.startswith(beginning) or beginning in line for line in lines), beginning


@pytest.mark.parametrize("name", re.findall(r"<!-- test: ([\w ]+) -->\n```yaml", PAGE))
def test_kustomizations_of_the_page_render(name, kubectl, tmp_path):
    text = re.search(rf"<!-- test: {name} -->\n```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.M)[1]
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kustomization.yaml").write_text(text)
    done = subprocess.run(
        [kubectl, "kustomize", tmp_path / "mine"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    documents = list(yaml.safe_load_all(done.stdout))
    if name == "own overlay":
        (claim,) = [d for d in documents if d["kind"] == "PersistentVolumeClaim"]
        assert claim["spec"]["storageClassName"] == "my-shared-disks"
        assert "registry.example/loupe-gateway@sha256:0123" in done.stdout
    assert {"StatefulSet", "Deployment", "NetworkPolicy"} <= {d["kind"] for d in documents}


def test_the_command_for_the_secret_makes_what_the_gateway_reads(kubectl, render, tmp_path):
    (line,) = [line for line in shell_lines() if line.startswith(RUN_HERE)]
    done = subprocess.run(
        ["bash", "-euc", f"{line} --dry-run=client --output=json"],
        env={**os.environ, "DATABASE_URL": "postgresql+asyncpg://a:b@c/d", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    secret = json.loads(done.stdout)
    (gateway,) = [d for d in render("overlays/cpu") if d["kind"] == "StatefulSet"]
    read = [
        variable["valueFrom"]["secretKeyRef"]
        for variable in gateway["spec"]["template"]["spec"]["containers"][0]["env"]
        if "valueFrom" in variable
    ]
    assert {(each["name"], each["key"]) for each in read} == {
        (secret["metadata"]["name"], key) for key in secret["data"]
    }


def test_builds_name_files_arguments_and_secrets_that_are_there():
    for words in lines_of("docker build"):
        options = [word for word in words if word.startswith("--")]
        values = dict(itertools.pairwise(words))
        dockerfile = ROOT / values["--file"]
        text = dockerfile.read_text()
        assert values["--tag"].startswith(f"loupe-{dockerfile.stem}:")
        assert set(options) <= {"--file", "--tag", "--build-arg", "--secret"}
        for option, value in itertools.pairwise(words):
            if option == "--build-arg":
                assert re.search(rf"^ARG {value.partition('=')[0]}=", text, re.MULTILINE)
            if option == "--secret":
                assert f"type=secret,{value.partition(',')[0]}," in text


def test_folders_that_are_applied_are_those_that_are_rendered():
    applied = {words[words.index("--kustomize") + 1] for words in lines_of("kubectl apply")}
    assert applied == {f"deploy/kubernetes/{folder}" for folder in RENDERED}


def test_commands_name_what_the_manifests_make(resources):
    named = set(
        re.findall(r"\b(?:deployment|statefulset|job|service|inferenceservice)/[\w-]+", PAGE)
    )
    assert len(named) > 5
    assert named - resources == set()


def test_namespaces_are_labelled_as_the_policies_ask(render):
    labels = {words[4] for words in lines_of("kubectl label")}
    policies = [d for d in render("overlays/cpu") if d["kind"] == "NetworkPolicy"]
    asked = set(re.findall(r"'(loupe/[\w-]+)': '(\w+)'", str(policies)))
    assert labels == {f"{name}={value}" for name, value in asked}


def test_the_contract_of_the_page_is_one():
    (text,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(parse_cluster(text).workers) == 2
