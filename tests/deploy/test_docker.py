"""`deploy/docker/`: what the images hold is enough, the compose file says only what is known."""

import ast
import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from configs.version import VERSION
from serving.gateway.settings import GatewaySettings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "docker"
DOCKERFILES = {path.stem: path.read_text() for path in FOLDER.glob("*.Dockerfile")}
ROOT_PACKAGES = (
    "configs",
    "schema",
    "data",
    "transform",
    "trainer",
    "components",
    "pipeline",
    "serving",
)
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
EXAMPLE = (FOLDER / "compose.env.example").read_text()
SERVICES = sorted(COMPOSE["services"])


def copied_paths(image):
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILES[image], re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            yield Path(source), target


def copied_files(image):
    """Files of the repository that the image holds, by where they lie in both."""
    for source, target in copied_paths(image):
        if target.startswith("/app"):
            place = ROOT / source
            yield from [place] if place.is_file() else sorted(place.rglob("*.py"))


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(module):
    """The file of one of our modules; None for other names."""
    place = ROOT.joinpath(*module.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def test_there_is_an_image_for_each_part():
    assert sorted(DOCKERFILES) == ["gateway", "model-server", "pipeline", "pipeline-gpu"]


@pytest.mark.parametrize("image", DOCKERFILES)
def test_the_image_holds_all_that_its_code_imports(image):
    files = set(copied_files(image))
    assert len(files) > 20
    missing = {
        module
        for path in files
        for module in imported_modules(path)
        if module.split(".")[0] in ROOT_PACKAGES and file_of(module) not in {None, *files}
    }
    assert missing == set()


@pytest.mark.parametrize("image", ["pipeline", "pipeline-gpu"])
def test_the_images_of_the_pipeline_hold_every_package_and_differ_in_the_lock_only(image):
    assert {str(source) for source, target in copied_paths(image) if target != "/locks/"} == set(
        ROOT_PACKAGES
    )
    text = DOCKERFILES[image].replace("pipeline-gpu", "pipeline")
    plain = DOCKERFILES["pipeline"]
    added = [line.rstrip(" \\") for line in text.splitlines() if line not in plain.splitlines()]
    assert [line.strip().partition("=")[0] for line in added if not line.startswith("#")] == (
        []
        if image == "pipeline"
        else [
            "LOUPE_WORKSPACE",
            "NVIDIA_VISIBLE_DEVICES",
            "NVIDIA_DRIVER_CAPABILITIES",
            "TF_FORCE_GPU_ALLOW_GROWTH",
        ]
    )


def test_the_lock_of_the_gpu_image_adds_cuda_and_nothing_else():
    pins = [
        set(re.findall(r"^[\w.-]+==\S+", (ROOT / f"requirements/{name}.lock").read_text(), re.M))
        for name in ("pipeline", "pipeline-gpu")
    ]
    assert pins[0] < pins[1]
    assert {pin.partition("-")[0] for pin in pins[1] - pins[0]} == {"nvidia"}


def test_what_images_copy_is_sent_to_the_engine_and_nothing_secret_is():
    everything, *patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert everything == "*"
    sent = [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")]
    for image in DOCKERFILES:
        for source, _ in copied_paths(image):
            assert any(
                fnmatch.fnmatch(str(source), each) or str(source).startswith(f"{each}/")
                for each in sent
            ), source
    assert [name for name in sent if name.startswith((".", "workspace", "deploy"))] == []


def test_the_files_of_the_gateway_s_image_are_all_that_it_loads(tmp_path):
    for source, target in copied_paths("gateway"):
        if target.startswith("/app"):
            into = tmp_path / target.removeprefix("/app/")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, into)
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, into)
    program = (
        "import json, sys, importlib.metadata\n"
        "def version(name): raise importlib.metadata.PackageNotFoundError(name)\n"
        "importlib.metadata.version = version\n"  # nothing of ours is installed in the image
        "import serving.gateway.__main__\n"
        "from serving.gateway.app import create_app\n"
        "from serving.gateway.settings import GatewaySettings\n"
        "create_app(GatewaySettings())\n"
        "ours = ('configs', 'schema', 'data', 'serving', 'transform', 'trainer', 'pipeline')\n"
        "modules = [m for n, m in sys.modules.items() if n.split('.')[0] in ours]\n"
        "print(json.dumps([m.__file__ for m in modules if m.__file__]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)
    assert len(files) > 20
    assert [file for file in files if not file.startswith(str(tmp_path))] == []


@pytest.mark.parametrize("image", DOCKERFILES)
def test_the_image_is_locked_and_runs_without_root(image):
    text = DOCKERFILES[image]
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert set(stages) == {"${PYTHON_IMAGE}"}  # so that one argument pins them all by digest
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", text, re.MULTILINE)[1]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-trixie", base)
    assert f"loupe-{image}:{VERSION}" in text
    installs = re.findall(r"/pip install (.*?)(?:&&|$)", text.replace("\\\n", ""), re.DOTALL | re.M)
    assert installs
    assert all("--require-hashes" in words and "--no-cache-dir" in words for words in installs)
    assert f"/locks/{image}.lock" in text
    *_, final = re.split(r"^FROM ", text, flags=re.MULTILINE)
    instructions = re.findall(r"^[A-Z]+ .*$", final, re.MULTILINE)
    assert "USER 10001" in instructions
    assert any(line.startswith("HEALTHCHECK ") for line in instructions)
    assert not any(line.startswith("ADD ") for line in instructions)
    assert "apt-get" not in final
    assert not re.search(r"https?://(?!127\.0\.0\.1)|index-url", text)


def test_the_image_of_the_gateway_holds_no_tensorflow():
    lock = (ROOT / "requirements" / "gateway.lock").read_text()
    assert not re.search(r"^(tensorflow|tfx|keras)", lock, re.MULTILINE)


@pytest.mark.parametrize("service", SERVICES)
def test_services_are_pinned_limited_and_without_privileges(service):
    settings = COMPOSE["services"][service]
    name, _, tag = settings["image"].rpartition(":")
    assert name
    assert re.search(r"\d+\.\d+", tag)
    assert "mem_limit" in settings
    if service != "database":  # its entry point changes the owner of its folder
        assert settings["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in settings["security_opt"]
    for port in settings.get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_what_is_built_for_compose_is_pinned_like_the_other_images():
    built = [each["build"] for each in COMPOSE["services"].values() if "build" in each]
    assert [each["args"] for each in built] == [["PYTHON_IMAGE"]]  # no value: the reader's, if any


def test_secrets_come_from_the_environment():
    text = json.dumps(COMPOSE)
    variables = set(re.findall(r"\$\{(\w+)", text))
    assert variables == set(re.findall(r"^(\w+)=$", EXAMPLE, re.MULTILINE))
    assert all(f"${{{name}:?}}" in text for name in variables)


def test_every_setting_of_the_gateway_is_one(monkeypatch):
    for name, value in COMPOSE["services"]["gateway"]["environment"].items():
        monkeypatch.setenv(name, value)
    for name, value in re.findall(
        r"(LOUPE_GATEWAY_\w+)=(\S+?)(?: |$)", DOCKERFILES["gateway"], re.MULTILINE
    ):
        monkeypatch.setenv(name, value)
    settings = GatewaySettings()
    assert settings.model.grpc_address == "model-server:8500"
    assert str(settings.rules_file) == "/etc/loupe/rules.yaml"
    assert settings.host == "0.0.0.0"
    given = {name for name in COMPOSE["services"]["gateway"]["environment"]}
    fields = GatewaySettings.model_fields
    for name in given:
        field, *_ = name.removeprefix("LOUPE_GATEWAY_").lower().split("__")
        assert field in fields, name


def test_mounted_files_exist():
    for settings in COMPOSE["services"].values():
        for volume in settings.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            if source.startswith("."):
                assert (FOLDER / source).exists(), source


def test_prometheus_scrapes_ports_that_serve_metrics():
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    targets = {
        job["static_configs"][0]["targets"][0]: job["metrics_path"]
        for job in config["scrape_configs"]
    }
    assert targets == {
        "gateway:8080": "/metrics",
        "model-server:8501": "/monitoring/prometheus/metrics",
    }
