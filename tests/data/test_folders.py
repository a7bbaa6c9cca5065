import os

import pytest

from configs.errors import DataError
from data.folders import is_image_name, list_folder, walk_images


def test_hidden_and_junk_entries_are_left_out(grow):
    root = grow("a/1.jpg", ".hidden/1.jpg", "__MACOSX/1.jpg", ".DS_Store", "Thumbs.db", "2.jpg")
    listing = list_folder(root)
    assert (listing.folders, listing.files) == (("a",), ("2.jpg",))


def test_companions_are_left_out_and_unknown_files_kept(grow):
    root = grow("README.txt", "labels.csv", "1.JPG", "2.heic", "scan", "3.weird")
    assert list(walk_images(str(root))) == ["1.JPG", "2.heic", "3.weird", "scan"]


def test_walk_goes_into_nested_folders_in_sorted_order(grow):
    root = grow("b/2.jpg", "a/z/1.jpg", "a/0.jpg", "c.jpg")
    assert list(walk_images(str(root))) == ["c.jpg", "a/0.jpg", "a/z/1.jpg", "b/2.jpg"]


def test_links_to_folders_are_followed(grow, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "1.jpg").write_bytes(b"x")
    root = grow("a/0.jpg")
    (root / "linked").symlink_to(elsewhere)
    assert list(walk_images(str(root))) == ["a/0.jpg", "linked/1.jpg"]


def test_a_circle_of_links_is_walked_once(grow):
    root = grow("a/0.jpg")
    (root / "a" / "up").symlink_to(root)
    assert list(walk_images(str(root))) == ["a/0.jpg"]


def test_a_link_that_leads_nowhere_is_kept(grow):
    root = grow("0.jpg")
    (root / "lost.jpg").symlink_to(root / "gone.jpg")
    (root / "itself.jpg").symlink_to(root / "itself.jpg")
    assert list(walk_images(str(root))) == ["0.jpg", "itself.jpg", "lost.jpg"]


def test_a_pipe_is_left_out(grow):
    root = grow("0.jpg")
    os.mkfifo(root / "pipe.jpg")
    assert list(walk_images(str(root))) == ["0.jpg"]


def test_an_unreadable_folder_is_an_error(grow):
    root = grow("0.jpg")
    for parent in (root, *root.parents[:2]):
        parent.chmod(0o711)
    root.chmod(0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything, nobody may not
    try:
        with pytest.raises(DataError, match=r"folder '.*' cannot be read: Permission denied"):
            list_folder(root)
    finally:
        os.seteuid(user)
        root.chmod(0o700)


@pytest.mark.parametrize(("name", "expected"), [("a.JPG", True), ("a.tiff", True), ("a.x", False)])
def test_image_names_are_known_by_their_ending(name, expected):
    assert is_image_name(name) is expected
