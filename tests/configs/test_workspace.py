from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.load import workspace_from_environment
from configs.workspace import Workspace


def test_a_relative_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Workspace.at("ws").root == tmp_path / "ws"


@pytest.mark.parametrize("folder", ["gs://b/ws", Path("gs://b/ws")])
def test_a_bucket_is_no_workspace(folder):
    with pytest.raises(ConfigError, match="workspace 'gs://b/ws' is a URL, .* artifacts.folder="):
        Workspace.at(folder)
    with pytest.raises(ConfigError, match="is a URL"):
        workspace_from_environment({"LOUPE_WORKSPACE": str(folder)})
