"""The secret that keys are hashed with: made once, kept private, never guessed."""

import multiprocessing
import stat

import pytest
from pydantic import SecretStr

from configs.errors import ConfigError
from serving.gateway.secrets import FILE_NAME, _make_file, derive_secret, read_key_secret
from serving.gateway.settings import GatewaySettings


def read(folder):
    return read_key_secret(GatewaySettings(state_folder=folder))


def test_the_configured_secret_counts_and_no_file_is_made(tmp_path):
    settings = GatewaySettings(state_folder=tmp_path / "state", key_secret=SecretStr("s" * 32))
    assert read_key_secret(settings) == b"s" * 32
    assert not (tmp_path / "state").exists()


def test_a_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    folder = tmp_path / "deep" / "state"
    secret = read(folder)
    assert len(secret) == 64
    assert read(folder) == secret
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert read(tmp_path / "other") != secret


def test_of_two_that_make_a_secret_the_first_one_wins(tmp_path):
    secret = read(tmp_path)
    _make_file(tmp_path / FILE_NAME)
    assert read(tmp_path) == secret
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_processes_that_start_at_once_agree(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        secrets = pool.map(read, [tmp_path / "state"] * 8, chunksize=1)
    assert len(set(secrets)) == 1


def test_a_secret_that_others_can_read_is_refused(tmp_path):
    read(tmp_path)
    (tmp_path / FILE_NAME).chmod(0o640)
    with pytest.raises(ConfigError, match="has the rights 640, expected 600"):
        read(tmp_path)


def test_short_secrets_are_refused_and_not_quoted(tmp_path):
    settings = GatewaySettings(state_folder=tmp_path, key_secret=SecretStr("hunter2"))
    with pytest.raises(ConfigError, match="has 7 characters, expected at least 32") as caught:
        read_key_secret(settings)
    assert "hunter2" not in str(caught.value)
    read(tmp_path)
    (tmp_path / FILE_NAME).write_text("\n")
    with pytest.raises(ConfigError, match="has 0 characters"):
        read(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="key secret '.*file/key_secret' cannot be used"):
        read(tmp_path / "file")


def test_secrets_for_two_purposes_differ():
    assert derive_secret(b"a", "x") != derive_secret(b"a", "y")
    assert derive_secret(b"a", "x") != derive_secret(b"b", "x")
    assert derive_secret(b"a", "x") == derive_secret(b"a", "x")
    assert len(derive_secret(b"a", "x")) == 32
