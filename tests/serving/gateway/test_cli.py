"""`loupe keys`, as a real process, against a real database."""

import asyncio
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from serving.gateway.auth.key_ring import KeyRing
from serving.gateway.auth.key_store import KeyStore
from serving.gateway.database.engine import create_engine
from serving.gateway.errors import UnauthenticatedError
from serving.gateway.secrets import read_key_secret
from serving.gateway.settings import GatewaySettings

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "keys.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
START = "import sys; from pipeline.cli.main import main; sys.argv[0] = 'loupe'; main()"


@pytest.fixture
def environment(tmp_path):
    names = {name: value for name, value in os.environ.items() if "LOUPE" not in name}
    names["LOUPE_GATEWAY_STATE_FOLDER"] = str(tmp_path / "state")
    return names | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}


@pytest.fixture
def keys(environment, tmp_path):
    def keys(*words, **changes):
        return subprocess.run(
            [sys.executable, "-c", START, "keys", *words],
            cwd=tmp_path,
            env=environment | changes,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return keys


def check(environment, *texts):
    """Name of the key, or why it was refused, for each text."""
    settings = GatewaySettings(state_folder=Path(environment["LOUPE_GATEWAY_STATE_FOLDER"]))
    pepper = read_key_secret(settings)

    async def check_all():
        engine = create_engine(settings.sqlalchemy_url)
        ring = KeyRing(KeyStore(engine, pepper), pepper)
        await ring.start()
        await ring.stop()
        await engine.dispose()
        for text in texts:
            try:
                yield ring.check(text).name
            except UnauthenticatedError as error:
                yield error.message

    async def collect():
        return [each async for each in check_all()]

    return asyncio.run(collect())


def test_a_key_is_made_listed_rotated_and_revoked(keys, environment):
    made = keys("create", "web shop", "--scope", "predict", "--expires-days", "30")
    assert made.returncode == 0, made.stderr
    key = made.stdout.removesuffix("\n")
    assert re.fullmatch(r"lk_[0-9a-f]{12}_[0-9a-f]{64}", key)
    key_id = key.split("_")[1]
    assert f"Key {key_id} of web shop allows predict" in " ".join(made.stderr.split())
    assert key not in made.stderr

    listed = keys("list")
    assert re.search(
        rf"{key_id} +│ web shop +│ predict +│ [\d-]+ +│ [\d-]+ +│ active", listed.stdout
    )
    assert key.split("_")[2] not in listed.stdout + listed.stderr

    rotated = keys("rotate", key_id, "--grace-hours", "1")
    new_key = rotated.stdout.strip()
    assert "The old one works for 1 more hours" in " ".join(rotated.stderr.split())
    assert check(environment, key, new_key) == ["web shop", "web shop"]
    assert keys("rotate", key_id, "--grace-hours", "0").returncode == 0
    assert check(environment, key, new_key) == ["the API key is not known."] * 2

    assert keys("revoke", key_id).returncode == 0
    assert key_id not in keys("list").stdout
    assert "1 more have ended: add --all" in keys("list").stderr
    assert re.search(rf"{key_id} .* revoked", keys("list", "--all").stdout)


@pytest.mark.parametrize("words", [["revoke"], ["rotate"]])
def test_what_ends_a_secret_forgets_the_last_known_keys(keys, environment, words):
    file = Path(environment["LOUPE_GATEWAY_STATE_FOLDER"]) / "last_known_keys"
    key_id = keys("create", "shop").stdout.split("_")[1]
    file.write_text("of a gateway that is not running")
    assert keys("list").returncode == 0
    assert file.exists()
    assert keys(*words, key_id).returncode == 0
    assert not file.exists()


def test_the_audit_log_names_the_user_and_not_what_the_environment_says(keys, environment):
    assert keys("create", "shop", USER="somebody", LOGNAME="somebody").returncode == 0
    file = Path(environment["LOUPE_GATEWAY_STATE_FOLDER"]) / "gateway.db"
    connection = sqlite3.connect(file)
    ((actor, action),) = connection.execute("SELECT actor, action FROM audit_log").fetchall()
    connection.close()
    assert action == "key.create"
    assert re.fullmatch(r"cli:\S+", actor) and "somebody" not in actor


@pytest.mark.parametrize(
    ("words", "changes", "code", "message"),
    [
        (["revoke", "nothing"], {}, 2, "ConfigError: there is no key 'nothing'. List them with"),
        (["create", ""], {}, 2, "name of the key is ''"),
        (["create", "x", "--scope", "root"], {}, 2, "'root' is not one of"),
        (["list"], {"LOUPE_GATEWAY_PORT": "many"}, 2, "LOUPE_GATEWAY_PORT: Input should be"),
        (["list"], {"LOUPE_GATEWAY_KEY_SECRET": "hunter2"}, 2, "has 7 characters, expected"),
        (
            ["list"],
            {"LOUPE_GATEWAY_DATABASE_URL": "postgresql+asyncpg://me:hunter2@127.0.0.1:1/x"},
            2,
            "ConfigError: the database stays as it was",
        ),
    ],
)
def test_errors_are_one_sentence_without_secrets(keys, words, changes, code, message):
    answer = keys(*words, **changes)
    assert answer.returncode == code
    assert message in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr
    assert "hunter2" not in answer.stderr + answer.stdout
    assert answer.stdout == ""


def test_markup_in_names_is_text(keys):
    assert keys("create", "[red]shop[/]").returncode == 0
    assert "[red]shop[/]" in keys("list").stdout


def test_every_command_of_the_page_works(environment, tmp_path):
    program = f"{shlex.quote(sys.executable)} -c {shlex.quote(START)}"
    blocks = BLOCK.findall(PAGE.read_text())
    commands = [block for block in blocks if "loupe keys" in block]
    assert len(commands) >= 4
    # The page is read from top to bottom; where it says KEY_ID, a reader puts the id of their key.
    script = "\n".join(commands).replace("KEY_ID", '"$(echo "$KEY" | cut -d_ -f2)"')
    script = script.replace("loupe keys", f"{program} keys")
    answer = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
