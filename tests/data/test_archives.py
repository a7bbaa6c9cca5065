import io
import tarfile
import zipfile

import pytest

from configs.errors import DataError
from data.archives import is_archive, open_archive
from data.sources import list_images

FILES = {"photos/hat/1.jpg": b"hat", "photos/mug/1.jpg": b"mug"}


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def pack(folder, ending, files):
    if ending == ".zip":
        return write_zip(folder / f"a{ending}", files)
    return write_tar(folder / f"a{ending}", files, "w:gz" if "gz" in ending else "w")


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tgz"])
def test_an_archive_becomes_a_folder_that_can_be_listed(tmp_path, ending):
    archive = pack(tmp_path, ending, FILES)
    assert is_archive(archive)
    root = open_archive(archive, tmp_path / "unpacked")
    assert [image.source for image in list_images(root)] == ["hat/1.jpg", "mug/1.jpg"]
    assert (root / "mug" / "1.jpg").read_bytes() == b"mug"


def test_an_archive_without_a_wrapping_folder_is_left_as_it_is(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"hat/1.jpg": b"", "mug/1.jpg": b""})
    assert open_archive(archive, tmp_path / "out") == tmp_path / "out"


def test_an_archive_is_unpacked_once(tmp_path):
    archive = write_zip(tmp_path / "a.zip", FILES)
    root = open_archive(archive, tmp_path / "out")
    archive.unlink()
    assert open_archive(archive, tmp_path / "out") == root


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "a/../../evil.jpg", "C:\\evil.jpg"])
@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_a_path_that_leads_outside_is_refused(tmp_path, ending, name):
    archive = pack(tmp_path, ending, {"hat/1.jpg": b"", name: b"evil"})
    with pytest.raises(DataError, match="leads outside the folder"):
        open_archive(archive, tmp_path / "in" / "out")
    assert list((tmp_path / "in").iterdir()) == []
    assert not (tmp_path / "evil.jpg").exists()


def test_links_are_refused(tmp_path):
    tar = tmp_path / "a.tar"
    with tarfile.open(tar, "w") as archive:
        info = tarfile.TarInfo("hat/1.jpg")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("hat/1.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    for path in (tar, packed):
        with pytest.raises(DataError, match=r"'hat/1\.jpg', which is a link or device"):
            open_archive(path, tmp_path / "out")


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_a_broken_archive_is_refused_and_leaves_nothing(tmp_path, ending):
    archive = pack(tmp_path, ending, {"hat/1.jpg": bytes(range(256)) * 200})
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="is broken"):
        open_archive(archive, tmp_path / "in" / "out")
    assert list((tmp_path / "in").iterdir()) == []


def test_an_archive_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be unpacked: No such file"):
        open_archive(tmp_path / "gone.zip", tmp_path / "out")


def test_an_archive_larger_than_the_disk_is_refused(tmp_path):
    archive = tmp_path / "a.tar"
    info = tarfile.TarInfo("hat/1.jpg")
    info.size = 1 << 50
    archive.write_bytes(info.tobuf() + b"\0" * 10240)
    with pytest.raises(DataError, match="more than the free space"):
        open_archive(archive, tmp_path / "out")


def test_an_archive_with_a_password_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"hat/1.jpg": b"hat"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag that says encrypted, in both headers
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be unpacked: .*password"):
        open_archive(archive, tmp_path / "out")
