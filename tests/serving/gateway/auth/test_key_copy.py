"""The last known keys on disk: what is believed, and what is not."""

import dataclasses
import datetime
import stat

import pytest

from configs.errors import ConfigError
from serving.gateway.auth.key_copy import FILE_NAME, REWRITE_TIME, KeyCopy, remove_copy
from serving.gateway.auth.key_store import KeyEntry
from serving.gateway.scopes import Scope

HOUR = datetime.timedelta(hours=1)
SECOND = datetime.timedelta(seconds=1)
DATABASE = "postgresql+asyncpg://loupe:***@db/loupe"


@pytest.fixture
def make_copy(tmp_path, pepper, clock):
    def make_copy(**changes):
        values = {"pepper": pepper, "database": DATABASE, "max_age": HOUR, "now": clock} | changes
        return KeyCopy(tmp_path / "state", **values)

    return make_copy


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state" / FILE_NAME


@pytest.fixture
def entry(clock):
    return KeyEntry(
        key_id="0123456789ab",
        name="Zoë's shop",
        scopes=frozenset({Scope.PREDICT, Scope.READ}),
        created_at=clock.now - HOUR,
        expires_at=clock.now + HOUR,
        revoked_at=None,
        previous_expires_at=clock.now + SECOND,
        key_hash="a" * 64,
        previous_hash="b" * 64,
    )


def test_keys_come_back_as_they_were_with_their_age(make_copy, entry, clock):
    make_copy().write([entry])
    clock.now += 5 * SECOND
    assert make_copy().read() == ([entry], 5 * SECOND)


def test_only_its_owner_may_read_it_and_nothing_is_left_beside_it(make_copy, entry, file):
    make_copy().write([entry])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == [FILE_NAME]


def test_keys_that_open_nothing_are_not_kept(make_copy, entry, clock):
    revoked = dataclasses.replace(entry, revoked_at=clock.now)
    expired = dataclasses.replace(entry, expires_at=clock.now)
    make_copy().write([revoked, expired])
    assert make_copy().read() == ([], 0 * SECOND)


def test_what_is_too_old_or_of_the_future_is_not_believed(make_copy, entry, clock):
    make_copy().write([entry])
    clock.now += HOUR
    assert make_copy().read()
    clock.now += SECOND
    assert make_copy().read() is None
    assert make_copy(max_age=2 * HOUR).read()
    clock.now -= 2 * HOUR
    assert make_copy().read() is None


def test_another_secret_or_database_is_not_believed(make_copy, entry):
    make_copy().write([entry])
    assert make_copy(pepper=b"q" * 32).read() is None
    assert make_copy(database="postgresql+asyncpg://loupe:***@staging/loupe").read() is None


def test_changed_missing_and_broken_files_are_not_believed(make_copy, entry, file):
    copy = make_copy()
    assert copy.read() is None
    copy.write([entry])
    whole = file.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-5] + b"AAAAA", b"\xff", b"[]"):
        file.write_bytes(content)
        assert copy.read() is None
    header, _, signature = whole.split(b".")
    file.write_bytes(header + b".e30." + signature)
    assert copy.read() is None


def test_a_file_of_another_form_is_not_believed_nor_quoted(make_copy, entry, file, capsys):
    copy = make_copy()
    copy.write([dataclasses.replace(entry, key_hash=7)])
    assert copy.read() is None
    assert "aaaa" not in capsys.readouterr().out


def test_it_is_written_when_keys_change_or_time_passes(make_copy, entry, file, clock):
    copy = make_copy()
    copy.write([entry])
    first = file.stat().st_ino
    clock.now += REWRITE_TIME - SECOND
    copy.write([entry])
    assert file.stat().st_ino == first
    copy.write([dataclasses.replace(entry, name="other")])
    second = file.read_bytes()
    assert make_copy().read()[0][0].name == "other"
    clock.now += REWRITE_TIME
    copy.write([dataclasses.replace(entry, name="other")])
    assert file.read_bytes() != second
    assert make_copy().read()[1] == 0 * SECOND


def test_it_can_be_removed_once_and_more(make_copy, entry, file):
    make_copy().write([entry])
    remove_copy(file.parent)
    assert make_copy().read() is None
    remove_copy(file.parent)
    file.mkdir()
    with pytest.raises(ConfigError, match="remove it as the user that the gateway runs as"):
        remove_copy(file.parent)
