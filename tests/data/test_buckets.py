"""Places in a bucket, asked over the network of a fake Google Cloud Storage."""

import pytest

from configs.errors import UpstreamError
from data import bucket_client
from data.buckets import BucketPath

PHOTOS = {"photos/cat/one.jpg": b"1", "photos/cat/deep/two.jpg": b"22", "photos/dog/x.jpg": b""}


@pytest.fixture
def photos(storage):
    storage.make_bucket("b", PHOTOS)
    return BucketPath("gs://b/photos")


def asked(storage):
    """Requests for objects; the client library also asks where a bucket is."""
    paths = [request.path for request in storage.requests]
    return [path for path in paths if path.endswith("/o") or "/o/" in path]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("cat", "gs://b/photos/cat"),
        ("cat/one.jpg", "gs://b/photos/cat/one.jpg"),
        ("../lists/a.csv", "gs://b/lists/a.csv"),
        ("../../../x", "gs://b/x"),
        ("./cat//one.jpg", "gs://b/photos/cat/one.jpg"),
        ("..hidden", "gs://b/photos/..hidden"),
        ("gs://other/x.jpg", "gs://other/x.jpg"),
    ],
)
def test_names_are_joined_as_on_a_disk(name, url):
    assert str(BucketPath("gs://b/photos") / name) == url


def test_parts_of_a_path():
    path = BucketPath("gs://b/photos/one.JPG")
    assert (path.name, path.suffix, str(path.parent)) == ("one.JPG", ".JPG", "gs://b/photos")
    assert str(path.parent.parent) == str(path.parent.parent.parent) == "gs://b"


@pytest.mark.parametrize("is_snapshot", [False, True])
def test_files_and_folders_are_told_apart(photos, is_snapshot):
    root = photos.snapshot() if is_snapshot else photos
    assert [path.exists() for path in (root, root / "cat", root / "no", root / "ca")] == [
        True,
        True,
        False,
        False,
    ]
    assert (root / "cat").is_dir() and not (root / "cat").is_file()
    assert (root / "dog/x.jpg").is_file() and not (root / "dog/x.jpg").is_dir()
    assert sorted(map(sorted, (root / "cat").entries())) == [["deep"], ["one.jpg"]]
    assert (root / "cat/deep/two.jpg").stat().st_size == 2


def test_a_snapshot_lists_a_folder_once(storage, photos):
    for number in range(30):
        storage.store("b", f"photos/many/{number}", b"12")
    root = photos.snapshot()
    assert len(root.entries()[0]) == 3
    assert len((root / "many").entries()[1]) == 30
    assert (root / "many/29").stat().st_size == 2
    assert len(asked(storage)) == 5  # pages of seven


def test_a_snapshot_looks_elsewhere_when_it_must(storage, photos):
    storage.make_bucket("other", {"a/1.jpg": b"1", "a/2.jpg": b"2"})
    root = photos.snapshot()
    before = len(asked(storage))
    found = [(root / f"gs://other/a/{number}.jpg").is_file() for number in (1, 2, 3)]
    assert found == [True, True, False]
    assert len(asked(storage)) == before + 1


def test_markers_of_folders_are_no_files(storage, photos):
    storage.store("b", "photos/empty/", b"")
    assert sorted(photos.walk()) == ["cat/deep/two.jpg", "cat/one.jpg", "dog/x.jpg"]


@pytest.mark.parametrize("size", [0, 5, 9_000_000])
def test_what_is_written_is_read(storage, photos, size):
    path = photos / "new/bytes.bin"
    path.write_bytes(bytes(size))
    assert storage.data("b", "photos/new/bytes.bin") == bytes(size)
    assert path.read_bytes() == bytes(size)
    path.unlink()
    assert not path.exists()


def test_text_and_parts(photos):
    path = photos / "note.txt"
    path.write_text("grün\nrot\n")
    assert path.read_text() == "grün\nrot\n"
    assert list(path.open()) == ["grün\n", "rot\n"]
    assert path.read_part(6, 3) == b"rot"
    assert [str(found) for found in photos.glob("n*.t?t")] == ["gs://b/photos/note.txt"]


def test_a_damaged_download_is_not_taken(storage, photos, monkeypatch):
    monkeypatch.setattr("tests.buckets.fake_storage._crc32c", lambda _: "AAAAAA==")
    with pytest.raises(Exception, match="[Cc]hecksum"):
        (photos / "cat/one.jpg").read_bytes()


@pytest.mark.parametrize("do", ["read_bytes", "stat", "unlink"])
def test_what_is_missing_is_no_file(photos, do):
    with pytest.raises(FileNotFoundError, match="No such object: b/photos/no.jpg"):
        getattr(photos / "no.jpg", do)()


@pytest.mark.parametrize("do", ["read_bytes", "snapshot", "stat"])
def test_a_missing_bucket_is_told(storage, do):
    with pytest.raises(FileNotFoundError, match="specified bucket does not exist"):
        getattr(BucketPath("gs://nowhere/x"), do)()


@pytest.mark.parametrize("do", ["read_bytes", "snapshot", "stat", "exists", "unlink"])
def test_a_forbidden_bucket_is_told(storage, photos, do):
    storage.forbidden.add("b")
    with pytest.raises(PermissionError, match="tester does not have access to the bucket b"):
        getattr(photos, do)()


def test_without_credentials_the_message_says_so(storage, photos, monkeypatch, tmp_path):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(PermissionError, match="no Google credentials were found; run 'gcloud"):
        photos.snapshot()


def test_a_short_outage_is_sat_out(storage, photos):
    storage.outages = 1
    assert (photos / "cat/one.jpg").read_bytes() == b"1"


def test_an_outage_is_no_missing_file(storage, photos, monkeypatch):
    bucket_client.retry_policy.cache_clear()
    monkeypatch.setattr(bucket_client, "RETRY_SECONDS", 0.1)
    storage.outages = 1000
    with pytest.raises(UpstreamError, match="'gs://b/photos/cat/one.jpg': Google Cloud Storage"):
        (photos / "cat/one.jpg").read_bytes()
    bucket_client.retry_policy.cache_clear()


def test_no_network_is_told(storage, photos, monkeypatch):
    bucket_client.retry_policy.cache_clear()
    monkeypatch.setattr(bucket_client, "RETRY_SECONDS", 0.1)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(
        UpstreamError, match="'gs://b/photos': .* does not answer: .*refused.*Check the network"
    ) as caught:
        photos.snapshot()
    assert "Max retries" not in str(caught.value)
    bucket_client.retry_policy.cache_clear()
