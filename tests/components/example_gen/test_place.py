import shutil

import pytest

from components.example_gen.place import open_data
from configs.errors import DataError
from tests.folders import read_files, write_files

FILES = {"cat/one.jpg": b"1", "cat/two.jpg": b"2", "dog/deep/three.jpg": b"3"}


@pytest.fixture
def folder(tmp_path):
    write_files(tmp_path / "photos", FILES)
    return tmp_path / "photos"


def test_a_local_folder_stays_where_it_is(folder):
    with open_data(str(folder)) as path:
        assert path == folder
    assert read_files(folder) == FILES


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_bucket_is_read_where_it_is(ending):
    with open_data(f"gs://b/photos{ending}") as path:
        assert str(path) == "gs://b/photos"


def test_an_archive_is_unpacked_and_stays(folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    with open_data(archive) as path:
        assert read_files(path) == FILES
    assert not path.exists()
    with open_data(archive) as path:
        assert read_files(path) == FILES


def test_an_archive_is_downloaded_and_unpacked(folder, tmp_path, storage):
    archive = shutil.make_archive(str(tmp_path / "packed"), "gztar", folder)
    storage.make_bucket("b", {"packed.tar.gz": (tmp_path / "packed.tar.gz").read_bytes()})
    with open_data(f"gs://b/{archive.rpartition('/')[2]}") as path:
        assert read_files(path) == FILES
    assert not path.exists()


def test_an_archive_that_is_not_there_is_told(storage):
    storage.make_bucket("b")
    with (
        pytest.raises(DataError, match="archive 'gs://b/x.zip' cannot be read: No such object"),
        open_data("gs://b/x.zip"),
    ):
        pass
