import pytest

from configs.errors import ConfigError
from configs.workspace import Workspace
from pipeline.run_folder import lock_workspace, make_run_folder, point_latest


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "ws")


def test_runs_within_a_second_get_folders_of_their_own(workspace):
    folders = [make_run_folder(workspace) for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(folder.is_dir() for folder in folders)


def test_latest_moves_in_one_step(workspace):
    for _ in range(2):
        folder = make_run_folder(workspace)
        point_latest(workspace, folder)
        assert workspace.latest_run.resolve() == folder
    assert not list(workspace.runs.glob(".latest*"))


def test_a_workspace_has_one_run_at_a_time(workspace):
    with (
        lock_workspace(workspace),
        pytest.raises(ConfigError, match="is in use by process"),
        lock_workspace(workspace),
    ):
        pass
    with lock_workspace(workspace):
        pass
