import shutil
import uuid

import pytest
from tfx.dsl.io import fileio

from components.example_gen.place import open_data
from configs.errors import DataError

FILES = {"cat/one.jpg": b"1", "cat/two.jpg": b"2", "dog/deep/three.jpg": b"3"}


@pytest.fixture
def url():
    # TensorFlow's file system in memory stands for an object store: reached by URL only.
    root = f"ram://{uuid.uuid4()}/photos"
    for name, data in FILES.items():
        fileio.makedirs(f"{root}/{name}".rpartition("/")[0])
        with fileio.open(f"{root}/{name}", "wb") as file:
            file.write(data)
    return root


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(data)
    return tmp_path / "photos"


def read(path):
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


def test_a_local_folder_stays_where_it_is(folder):
    with open_data(str(folder)) as path:
        assert path == folder
    assert read(folder) == FILES


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_url_is_downloaded_and_removed_again(url, ending):
    with open_data(url + ending) as path:
        assert path.name == "photos"
        assert read(path) == FILES
    assert not path.exists()


def test_an_archive_is_unpacked_and_stays(folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    with open_data(archive) as path:
        assert read(path) == FILES
    assert not path.exists()
    with open_data(archive) as path:
        assert read(path) == FILES


def test_an_archive_is_downloaded_and_unpacked(folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "gztar", folder)
    url = f"ram://{uuid.uuid4()}/packed.tar.gz"
    fileio.copy(archive, url)
    with open_data(url) as path:
        assert read(path) == FILES


def test_an_address_with_nothing_is_told():
    with (
        pytest.raises(DataError, match="does not exist, or may not be read by this account"),
        open_data(f"ram://{uuid.uuid4()}"),
    ):
        pass
