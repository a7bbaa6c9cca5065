"""`deploy/docker/`: what the image holds is enough, the compose file says only what is known."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from serving.gateway.settings import GatewaySettings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "docker"
DOCKERFILE = (FOLDER / "gateway.Dockerfile").read_text()
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
EXAMPLE = (FOLDER / "compose.env.example").read_text()
SERVICES = sorted(COMPOSE["services"])


def copied_paths():
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            yield Path(source), target


def test_the_files_of_the_image_are_all_that_the_gateway_imports(tmp_path):
    for source, target in copied_paths():
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


def test_the_image_runs_without_root_and_without_tensorflow():
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    assert "HEALTHCHECK" in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE
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


def test_secrets_come_from_the_environment():
    text = json.dumps(COMPOSE)
    variables = set(re.findall(r"\$\{(\w+)", text))
    assert variables == set(re.findall(r"^(\w+)=$", EXAMPLE, re.MULTILINE))
    assert all(f"${{{name}:?}}" in text for name in variables)


def test_every_setting_of_the_gateway_is_one(monkeypatch):
    for name, value in COMPOSE["services"]["gateway"]["environment"].items():
        monkeypatch.setenv(name, value)
    for name, value in re.findall(r"(LOUPE_GATEWAY_\w+)=(\S+?)(?: |$)", DOCKERFILE, re.MULTILINE):
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
            source = volume.split(":")[0]
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
