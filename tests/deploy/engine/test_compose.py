"""`docs/compose.md` and `deploy/docker/compose.yaml`: all four services, started for real.

Images of registries are stood in for by `stand_ins/`; networks, ports and volumes are the file's.
"""

import json
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from configs.errors import EnvironmentSetupError
from tests.deploy.engine.container_engine import EngineError
from tests.serving.gateway.saved_models import add_warmup, make_module, save_module

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "compose.md").read_text()
COMPOSE = yaml.safe_load((ROOT / "deploy" / "docker" / "compose.yaml").read_text())
STAND_INS = Path(__file__).with_name("stand_ins")
NAMES = ("database", "prometheus", "model-server")
SENT = ("configs", "data", "deploy", "requirements", "schema", "serving", ".dockerignore")
"""What the gateway's image is built of, and the files that the services mount."""
ENVIRONMENT = Path(sys.prefix).resolve()
PASSWORD, SECRET = "5" * 32, "a" * 64
VERSION = 3
HISTORY = 'curl -s -H "Authorization: Bearer $KEY" http://localhost:8080/v1/predictions'
WAIT_SECONDS = 60


def block(name):
    return re.search(rf"<!-- test: {name} -->\n```sh\n(.*?)^```$", PAGE, re.DOTALL | re.M)[1]


@pytest.fixture(scope="module")
def stand_ins(base_image, build):
    """What registries have, under the names of the compose file."""
    python = ENVIRONMENT / "bin" / "python"
    for name in NAMES:
        tag = COMPOSE["services"][name]["image"]
        arguments = (f"--build-arg=PYTHON_IMAGE={base_image}", f"--build-arg=PYTHON={python}")
        build(*arguments, f"--target={name}", f"--tag={tag}", cwd=STAND_INS)


@pytest.fixture(scope="module")
def isolated_engine(engine, gateway_image, stand_ins):
    """The engine, on a network of its own; what was built on the machine's is still there."""
    try:
        engine.provide_compose()
    except EnvironmentSetupError as error:
        pytest.skip(f"there is no `docker compose` here that is new enough: {error}")
    engine.stop()
    try:
        engine.start(is_isolated=True)
    except EngineError as error:
        engine.start()
        pytest.skip(f"the container engine cannot make networks here: {error}")
    yield engine
    engine.stop()
    engine.start()


class Installation:
    """A clone with the page's settings filled in, and a shell in it."""

    def __init__(self, engine, folder):
        self._engine = engine
        self.folder = folder
        self.clone = folder / "clone"
        self.models = folder / "serving" / "loupe"

    def copy(self):
        for name in SENT:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, self.clone / name, ignore=ignored)
            else:
                shutil.copy(source, self.clone / name)

    def write_override(self):
        """Let the build find its network, and our server its environment; nothing else."""
        environment = {ENVIRONMENT, Path(sys.base_prefix).resolve()}
        mounts = [f"{place}:{place}:ro" for place in sorted(environment)]
        code = [f"{ROOT / name}:/code/{name}:ro" for name in ("configs", "schema", "serving")]
        services = {
            "gateway": {"build": {"network": "host"}},
            "model-server": {"volumes": [*mounts, *code]},
        }
        (self.folder / "override.yaml").write_text(yaml.safe_dump({"services": services}))

    def fill_in(self, **values):
        file = self.clone / "deploy" / "docker" / "compose.env"
        text = file.read_text()
        for name, value in values.items():
            text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
            assert count == 1
        file.write_text(text)

    def shell(self, script, **options):
        _, settings = block("settings").splitlines()
        more = f'COMPOSE_FILE="$COMPOSE_FILE:{self.folder / "override.yaml"}"'
        return self._engine.run_inside(
            ["bash", "-euc", f"{settings}\n{more}\n{script}"], cwd=self.clone, **options
        )

    def run(self, script):
        done = self.shell(script)
        assert done.returncode == 0, f"{script}: {done.stderr}{self.logs()}"
        return done.stdout

    def logs(self):
        return self.shell("docker compose ps --all; docker compose logs --tail=40").stdout

    def query(self, text):
        command = (
            f'docker compose exec database psql --username=loupe --tuples-only --command="{text}"'
        )
        return self.run(command).strip()

    def ask(self, address):
        return json.loads(self.run(f"curl --silent --fail '{address}'"))


def until(look, is_fine):
    """What `look` finds once that is fine."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_fine(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def filled_in(isolated_engine, tmp_path_factory, draw_photo, encode):
    """A clone whose `compose.env` is filled in as the page says."""
    folder = tmp_path_factory.mktemp("installation")
    installation = Installation(isolated_engine, folder)
    installation.copy()
    installation.write_override()
    photo = encode(draw_photo(48, 80), "JPEG")
    (installation.clone / "photo.jpg").write_bytes(photo)
    save_module(make_module(seed=VERSION), installation.models / str(VERSION))
    add_warmup(installation.models / str(VERSION), photo)
    copied, _ = block("settings").splitlines()
    installation.run(copied)
    return installation


@pytest.fixture(scope="module")
def running(filled_in):
    """All four services, started with the page's command."""
    filled_in.fill_in(
        POSTGRES_PASSWORD=PASSWORD, LOUPE_KEY_SECRET=SECRET, LOUPE_MODELS=filled_in.models
    )
    try:
        filled_in.run(block("start"))
        yield filled_in
    finally:
        filled_in.shell("docker compose down --volumes")


@pytest.fixture(scope="module")
def ask(running):
    """Function of a command with `$KEY` to what it prints, with the page's first key."""
    key = running.run(f'{block("key")}echo "$KEY"').strip()

    def ask(command):
        return json.loads(running.run(f"KEY={key}\n{command}"))

    until(lambda: ask(HISTORY), lambda answer: "error" not in answer)  # a key counts in a second
    return ask


@pytest.fixture(scope="module")
def predict(ask):
    """Function of a command to its answer; on a busy machine one may come too late."""
    return lambda command: until(lambda: ask(command), lambda answer: "label" in answer)


@pytest.fixture(scope="module")
def predicted(predict):
    """The answer to the page's request."""
    return predict(block("predict"))


def test_nothing_starts_as_long_as_a_value_is_missing(filled_in):
    done = filled_in.shell(block("start"))
    assert done.returncode != 0
    assert re.search(r"required variable \w+ is missing a value", done.stderr)
    assert filled_in.shell("docker compose ls --all --quiet").stdout == ""


def test_a_folder_of_models_that_is_not_there_is_refused_and_not_made(filled_in):
    absent = filled_in.folder / "absent"
    filled_in.fill_in(POSTGRES_PASSWORD=PASSWORD, LOUPE_KEY_SECRET=SECRET, LOUPE_MODELS=absent)
    done = filled_in.shell("docker compose create model-server")
    filled_in.run("docker compose down --volumes")
    assert done.returncode != 0
    assert str(absent) in done.stderr
    assert not absent.exists()


def test_all_four_become_healthy(running):
    lines = running.run("docker compose ps --format=json").splitlines()
    health = {each["Service"]: each["Health"] for each in map(json.loads, lines)}
    assert health == dict.fromkeys(COMPOSE["services"], "healthy")


def test_the_first_prediction_is_in_the_database(running, predicted):
    assert predicted["model_version"] == VERSION
    assert predicted["route"] == "stable"
    rows = f"SELECT count(*) FROM predictions WHERE request_id = '{predicted['request_id']}'"
    until(lambda: running.query(rows), lambda count: count == "1")


def test_prometheus_has_scraped_both_servers(running, predicted):
    *_, command = block("look").splitlines()

    def targets():
        found = json.loads(running.run(command))["data"]["result"]
        return {each["metric"]["job"]: each["value"][1] for each in found}

    until(targets, lambda found: found == {"gateway": "1", "model-server": "1"})
    asked = "http://localhost:9090/api/v1/query?query"
    of_gateway = f"{asked}=loupe_gateway_prediction_seconds_count"
    until(lambda: running.ask(of_gateway)["data"]["result"], bool)
    of_server = f"{asked}=:tensorflow:serving:request_count"
    until(lambda: running.ask(of_server)["data"]["result"], bool)


def test_the_page_s_way_to_look_at_it_shows_the_prediction(running, predicted):
    told = until(lambda: running.run(block("look")), lambda told: str(VERSION) in told)
    assert "healthy" in told
    assert predicted["label"] in told


def test_secrets_are_those_of_the_file_and_in_no_image(running, isolated_engine):
    for service, names in {
        "gateway": {f"LOUPE_GATEWAY_KEY_SECRET={SECRET}"},
        "database": {f"POSTGRES_PASSWORD={PASSWORD}"},
        "model-server": set(),
        "prometheus": set(),
    }.items():
        container = running.run(f"docker compose ps --quiet {service}").strip()
        inspect = ("inspect", "--format", "{{json .Config.Env}}")
        told = json.loads(isolated_engine.docker(*inspect, container))
        assert {each for each in told if SECRET in each or PASSWORD in each} >= names
        assert bool(names) == any(SECRET in each or PASSWORD in each for each in told)
        image = COMPOSE["services"][service]["image"]
        assert not re.search(f"{SECRET}|{PASSWORD}", isolated_engine.docker(*inspect, image))


def test_only_the_gateway_and_prometheus_are_reached_from_the_machine(running):
    open_ports = {
        port
        for port in (5432, 8080, 8500, 8501, 9090)
        if running.shell(f"exec 3<>/dev/tcp/127.0.0.1/{port}").returncode == 0
    }
    assert open_ports == {8080, 9090}


def test_a_large_upload_is_taken_though_nothing_but_the_state_can_be_written(
    running, predict, encode
):
    random = np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)
    (running.clone / "large.png").write_bytes(encode(Image.fromarray(random), "PNG"))
    command = block("predict").replace("--data-binary @photo.jpg", "--form image=@large.png")
    assert predict(command.replace("-H 'Content-Type: image/jpeg' ", ""))["route"] == "stable"


def test_rules_that_an_editor_replaces_are_read_again(running):
    address = "http://localhost:8080/v1/health/ready"
    before = running.ask(address)
    assert before["are_rules_current"]
    rules = running.clone / "deploy" / "gateway" / "rules.yaml"
    beside = rules.with_suffix(".new")
    beside.write_text(rules.read_text().replace("default_answer: unsure", "default_answer: none"))
    beside.rename(rules)
    version = before["rules_version"]
    until(lambda: running.ask(address), lambda now: now["rules_version"] > version)


def test_a_backup_holds_the_prediction(running, predicted):
    running.run(block("backup"))
    command = "docker compose exec -T database pg_restore --data-only --table=predictions --file=-"
    assert predicted["request_id"] in running.run(f"{command} < loupe.dump")


def test_stopped_and_started_again_it_has_its_data_and_keys(running, ask, predict, predicted):
    stop, start = block("stop").splitlines()
    running.run(stop)
    told = running.run("docker compose ps --all --format '{{.Service}} {{.ExitCode}}'")
    assert {"gateway 0", "database 0"} <= set(told.splitlines())
    running.run("docker compose down")  # volumes stay, containers and networks are new
    running.run(start)
    assert predicted["request_id"] in [each["request_id"] for each in ask(HISTORY)["items"]]
    assert predict(block("predict"))["label"] == predicted["label"]


def test_the_base_of_the_gateway_is_the_one_that_is_told(running, base_image, isolated_engine):
    isolated_engine.docker("tag", base_image, "python:told")
    command = block("pin").replace("python@$PYTHON_DIGEST", "{}")
    running.run(command.format("python:told"))
    assert running.shell(command.format("python:absent")).returncode != 0


def test_every_block_of_the_page_is_run_here():
    blocks = re.findall(r"<!-- test: (\w+) -->\n```sh", PAGE)
    assert len(blocks) == PAGE.count("```sh")
    text = Path(__file__).read_text()
    assert [name for name in blocks if f'block("{name}")' not in text] == []
