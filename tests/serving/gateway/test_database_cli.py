import pytest
from typer.testing import CliRunner

from configs.errors import ConfigError
from pipeline.cli.main import app
from serving.gateway.database.migrate import list_versions


@pytest.fixture
def loupe(empty_database_url, monkeypatch):
    """Function of words to what `loupe database` prints."""
    monkeypatch.setenv("LOUPE_GATEWAY_DATABASE_URL", empty_database_url)

    def loupe(*words):
        done = CliRunner().invoke(app, ["database", *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output.splitlines()

    return loupe


def test_tables_go_up_and_down(loupe):
    newest = list_versions()[-1]
    assert loupe("status") == ["version: none, the database is empty", f"newest: {newest}"]
    assert loupe("upgrade") == [f"version: {newest}"]
    assert loupe("status") == [f"version: {newest}", f"newest: {newest}"]
    assert loupe("downgrade", "base", "--yes") == ["version: none, the database is empty"]


def test_going_back_needs_a_yes(loupe):
    loupe("upgrade")
    with pytest.raises(ConfigError, match=r"deletes what newer versions store.*add --yes"):
        loupe("downgrade", "base")
    assert loupe("status")[0] == f"version: {list_versions()[-1]}"


def test_an_unknown_version_is_named(loupe):
    with pytest.raises(ConfigError, match="no version '0815'"):
        loupe("downgrade", "0815", "--yes")
