"""What docs/kubeflow.md and deploy/ci say, done against a strict server on loopback."""

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from configs.kubeflow_access import (
    CA_FILE_VARIABLE,
    ENDPOINT_VARIABLE,
    NAMESPACE_VARIABLE,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    UI_VARIABLE,
)
from configs.load import load_config

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "kubeflow.md"
CI = ROOT / "deploy" / "ci"
VARIABLES = {
    CA_FILE_VARIABLE,
    ENDPOINT_VARIABLE,
    NAMESPACE_VARIABLE,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    UI_VARIABLE,
}
HOSTILE = "2026-11-21; rm -rf / $(id)"
NOT_RUN_HERE = {
    "docker build": "needs an engine and the base images; tests/deploy builds one of them",
    "docker push": "needs a registry",
    "kubectl apply": "needs a cluster; tests/deploy checks the manifests",
    "kubectl --namespace": "needs a cluster",
    "kubectl describe nodes": "needs a cluster",
    "kubectl cp": "needs a cluster",
    "kubectl create configmap": "needs a cluster; the test below mounts the same file",
    "commit=": "names the commit for the build of an image",
    "kubectl port-forward": "needs a cluster",
    "export LOUPE_KUBEFLOW_TOKEN=": "needs a cluster that gives tokens",
    "export LOUPE_KUBEFLOW_ENDPOINT=": "the test's server is at another port",
}


def shell_lines():
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        yield from block.replace("\\\n", " ").splitlines()


def is_run_here(line):
    return not any(line.startswith(beginning) for beginning in NOT_RUN_HERE)


@pytest.fixture
def workplace(tmp_path, monkeypatch, draw_photo, encode):
    """A folder with what the page's commands name."""
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes(encode(draw_photo(8, 8), "PNG"))
    (tmp_path / "configs").mkdir()
    for path in (ROOT / "configs").glob("kubeflow*.yaml"):
        shutil.copy(path, tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_of_the_page_works_in_its_order(kubeflow, loupe, workplace):
    kubeflow.finishes_runs = True
    lines = [line for line in shell_lines() if is_run_here(line)]
    assert len(lines) > 12
    for line in lines:
        words = shlex.split(line)
        if words[0] == "cp":
            shutil.copy(*words[1:])
            continue
        assert words[:2] == [".venv/bin/loupe", "kubeflow"], line
        if words[2] == "delete" and words[3] == "version":
            words[4] = max(kubeflow.versions.values(), key=lambda v: v["created_at"])["name"]
        done = loupe(*words[1:])
        assert done.code == 0, f"{line}: {done.text}"
    assert not kubeflow.versions
    assert not kubeflow.recurring
    assert Path("loupe.yaml").is_file()


def test_the_commands_of_the_readme_work(kubeflow, loupe):
    kubeflow.finishes_runs = True
    text = (ROOT / "README.md").read_text().partition("## On Kubeflow")[2].partition("\n## ")[0]
    lines = re.findall(r"^\.venv/bin/(loupe kubeflow .*)$", text, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        done = loupe(*shlex.split(line)[1:])
        assert done.code == 0, f"{line}: {done.text}"
    assert len(kubeflow.versions) == len(kubeflow.runs) == len(kubeflow.recurring) == 1


def test_lines_that_are_not_run_are_listed_with_a_reason_and_are_there():
    lines = list(shell_lines())
    for beginning, reason in NOT_RUN_HERE.items():
        assert reason
        assert any(line.startswith(beginning) for line in lines), beginning


def test_the_page_names_every_variable():
    rows = re.findall(r"^\| `(LOUPE_\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert set(rows) == VARIABLES


def texts_of_the_code():
    for path in (*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("configs/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(part, "value", "") for part in node.values]
                yield "".join(part if isinstance(part, str) else "{}" for part in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_messages_that_are_explained_are_those_of_the_code():
    texts = "\n".join(texts_of_the_code())
    table = PAGE.read_text().partition("## When something is wrong")[2]
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(messages) > 15
    for message in messages:
        pattern = re.escape(message).replace(r"\.\.\.", ".*").replace("401", r"(?:401|\{\})")
        assert re.search(pattern, texts), f"no message of the code reads '{message}'"


def test_the_versions_on_the_page_are_those_that_are_locked():
    lock = (ROOT / "requirements" / "pipeline.lock").read_text()
    text = PAGE.read_text()
    for package in ("kfp", "tfx"):
        locked = re.search(rf"^{package}(?:\[.*\])?==([\d.]+)", lock, re.MULTILINE)[1]
        assert re.search(rf"\b{package}`? {re.escape(locked.removesuffix('.0'))}\b", text, re.I)


def workflow_commands():
    workflow = yaml.safe_load((CI / "pipeline.yaml").read_text())
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                yield step["run"], {**workflow["env"], **job.get("env", {})}


def test_the_commands_of_the_workflow_work(kubeflow, loupe, workplace):
    kubeflow.finishes_runs = True
    shutil.copy(ROOT / "configs" / "kubeflow-gpu.yaml", "my-cluster.yaml")
    commands = [each for each in workflow_commands() if each[0] != "make setup"]
    assert len(commands) == 3
    for command, told in commands:
        assert set(told) - {"DATA_VERSION"} <= VARIABLES
        assert "${{" not in command, "a value from outside must not become shell"
        # The shell makes one word of the variable, whatever is in it.
        words = [word.replace("$DATA_VERSION", HOSTILE) for word in shlex.split(command)]
        assert words[0] == ".venv/bin/loupe"
        done = loupe(*words[1:])
        assert done.code == 0, f"{command}: {done.text}"
    (run,) = kubeflow.runs.values()
    assert run["runtime_config"]["parameters"]["data_version"] == HOSTILE
    assert len(kubeflow.recurring) == 1


def cron_job():
    job, _ = yaml.safe_load_all((CI / "new-data.yaml").read_text())
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def test_the_cron_job_starts_one_run_per_state_of_the_images(
    uploaded, loupe, workplace, monkeypatch
):
    _, container = cron_job()
    told = {each["name"]: each for each in container["env"]}
    shutil.copy(ROOT / "configs" / "kubeflow-gpu.yaml", "my-cluster.yaml")
    assert set(told) <= VARIABLES
    monkeypatch.setenv("LOUPE_KUBEFLOW_TOKEN_FILE", str(workplace / "token"))
    (workplace / "token").write_text("abc")
    uploaded.token = "abc"
    words = [word.replace("/cluster/", "") for word in container["args"]]
    # The claim is mounted where the pods read; here that folder is another one.
    (version,) = uploaded.versions.values()
    parameters = version["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    parameters["data_root"]["defaultValue"] = str(workplace / "photos")
    for _ in range(2):
        done = loupe(*words)
        assert done.code == 0, done.text
    assert len(uploaded.runs) == 1
    (workplace / "photos" / "cat" / "2.png").write_bytes(b"x")
    assert loupe(*words).code == 0
    assert len(uploaded.runs) == 2


def test_the_cron_job_mounts_what_it_reads():
    pod, container = cron_job()
    settings = load_config("kubeflow").kubeflow
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    claims = {each["name"]: each.get("persistentVolumeClaim") for each in pod["volumes"]}
    assert mounts["data"]["mountPath"] == settings.data.path
    assert settings.data_root.startswith(settings.data.path)
    assert claims["data"] == {"claimName": settings.data.claim, "readOnly": True}
    assert container["image"] == settings.image
    token_file = next(e for e in container["env"] if e["name"] == TOKEN_FILE_VARIABLE)["value"]
    (source,) = next(e for e in pod["volumes"] if e["name"] == "token")["projected"]["sources"]
    config = container["args"][container["args"].index("--config") + 1]
    assert Path(config).parent == Path(mounts["cluster"]["mountPath"])
    path = f"{mounts['token']['mountPath']}/{source['serviceAccountToken']['path']}"
    assert path == token_file


@pytest.mark.parametrize("name", ["new-data.yaml", "load-images.yaml"])
def test_pods_have_no_rights_that_they_do_not_need(name):
    document, policy = yaml.safe_load_all((CI / name).read_text())
    job = document["spec"].get("jobTemplate", {}).get("spec", {}).get("template", document)
    (container,) = job["spec"]["containers"]
    assert job["spec"]["automountServiceAccountToken"] is False
    assert job["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}
    assert container["image"] == load_config("kubeflow").kubeflow.image
    labels = policy["spec"]["podSelector"]["matchLabels"]
    assert labels.items() <= job["metadata"]["labels"].items()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]
