import contextlib

from data.places import local_copy, local_output, place_of
from tests.folders import read_files, write_files

FILES = {"one.txt": b"1", "deep/two.txt": b"22", "deep/empty": b""}


def test_a_folder_of_this_machine_is_used_as_it_is(tmp_path):
    assert place_of(str(tmp_path)) == tmp_path
    with local_output(str(tmp_path)) as output, local_copy(str(tmp_path)) as copy:
        assert output == copy == tmp_path


def test_what_a_block_writes_goes_to_the_bucket_and_comes_back(storage):
    storage.make_bucket("b")
    with local_output("gs://b/model/6") as folder:
        write_files(folder, FILES)
        assert storage.names("b") == []
    assert storage.names("b") == [f"model/6/{name}" for name in sorted(FILES)]
    assert not folder.exists()
    with local_copy("gs://b/model/6") as copy:
        assert copy.name == "6"
        assert read_files(copy) == FILES
    assert not copy.exists()


def test_a_block_that_fails_leaves_nothing_in_the_bucket(storage):
    storage.make_bucket("b")
    with contextlib.suppress(KeyError), local_output("gs://b/model") as folder:
        write_files(folder, FILES)
        raise KeyError
    assert storage.names("b") == []
    assert not folder.exists()
