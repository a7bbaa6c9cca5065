"""Images of every format Loupe reads, drawn by Pillow, for the tests of several packages."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageOps
from xdist.scheduler import LoadScopeScheduling

from data.bucket_client import storage_client
from tests.buckets.fake_server import serving
from tests.buckets.fake_storage import FakeStorage

ORIENTATION_TAG = 0x0112
SHARED_RUNS = ("tests/deploy/engine/", "tests/e2e/", "tests/kubeflow/")
"""Folders whose files look at the same container engine or the same pipeline runs."""


class FolderScheduling(LoadScopeScheduling):
    """Workers get whole files, and one of them gets all files that share what is expensive."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return next((folder for folder in SHARED_RUNS if file.startswith(folder)), file)


def pytest_xdist_make_scheduler(config, log):
    return FolderScheduling(config, log)


def pytest_collection_modifyitems(items):
    # Workers know tests by their ids: of several with the same one, all but one would not run.
    # pytest 9 leaves what schemathesis adds to names out of them.
    for item in items:
        if label := getattr(item, "operation_label", None):
            item._id = item.id.with_params(label)
    repeated = [name for name, count in Counter(i.nodeid for i in items).items() if count > 1]
    if repeated:
        raise pytest.UsageError(f"tests have the same id: {', '.join(repeated)}")


@pytest.fixture(scope="session")
def fake_storage(tmp_path_factory):
    """The fake Google Cloud Storage, and the variables that lead a process to it."""
    storage = FakeStorage(per_page=7)
    with serving(storage, tmp_path_factory.mktemp("storage")) as variables:
        yield storage, variables


@pytest.fixture
def storage(fake_storage, monkeypatch):
    """The fake as this process sees it, empty at first; every request must be one it knows."""
    fake, variables = fake_storage
    fake.clear()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    storage_client.cache_clear()
    yield fake
    storage_client.cache_clear()
    assert fake.unknown == []


def _draw_photo(height, width):
    # Smooth colours with an edge: something that resizing, flips and rotations all change.
    rows, columns = np.mgrid[0:height, 0:width]
    red = 255 * rows / height
    green = 255 * columns / width
    blue = np.where(columns > 2 * rows, 220, 30)
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


def _encode(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _exif(orientation, byte_order="<"):
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F] = "maker"
    exif[ORIENTATION_TAG] = orientation
    return exif.tobytes()


def _draw_formats():
    photo = _draw_photo(48, 80)
    with_alpha = Image.merge("RGBA", (*photo.split(), photo.convert("L")))
    palette = photo.convert("P", palette=Image.Palette.ADAPTIVE)
    turned = photo.rotate(90)
    return {
        "jpeg colour": _encode(photo, "JPEG", quality=90),
        "jpeg grey": _encode(photo.convert("L"), "JPEG"),
        "jpeg cmyk": _encode(photo.convert("CMYK"), "JPEG"),
        "jpeg progressive": _encode(photo, "JPEG", progressive=True),
        "jpeg full chroma": _encode(photo, "JPEG", subsampling=0),
        "jpeg large": _encode(photo.resize((800, 480)), "JPEG"),
        "jpeg turned": _encode(photo, "JPEG", exif=_exif(6)),
        "png colour": _encode(photo, "PNG"),
        "png palette": _encode(palette, "PNG"),
        "png palette with transparency": _encode(palette, "PNG", transparency=3),
        "png alpha": _encode(with_alpha, "PNG"),
        "png grey alpha": _encode(photo.convert("LA"), "PNG"),
        "png one bit": _encode(photo.convert("1"), "PNG"),
        "png turned": _encode(photo, "PNG", exif=_exif(3, ">")),
        "bmp colour": _encode(photo, "BMP"),
        "bmp grey": _encode(photo.convert("L"), "BMP"),
        "bmp palette": _encode(palette, "BMP"),
        "bmp alpha": _encode(with_alpha, "BMP"),
        "gif": _encode(palette, "GIF"),
        "gif animated": _encode(palette, "GIF", save_all=True, append_images=[turned]),
        "webp lossy": _encode(photo, "WEBP", quality=80),
        "webp lossless": _encode(photo, "WEBP", lossless=True),
        "webp alpha": _encode(with_alpha, "WEBP", lossless=True, exact=True),
        "webp turned": _encode(photo, "WEBP", exif=_exif(8)),
    }


FORMATS = _draw_formats()


def pytest_generate_tests(metafunc):
    """Run a test that asks for `format_name` once per format."""
    if "format_name" in metafunc.fixturenames:
        metafunc.parametrize("format_name", FORMATS)


@pytest.fixture(scope="session")
def encoded_formats():
    """Name of each format to the bytes of an image in it."""
    return dict(FORMATS)


@pytest.fixture
def encoded(format_name):
    """Bytes of an image in one format."""
    return FORMATS[format_name]


@pytest.fixture(scope="session")
def draw_photo():
    """Function of (height, width) to a Pillow image."""
    return _draw_photo


@pytest.fixture(scope="session")
def encode():
    """Function of (Pillow image, format, options) to bytes."""
    return _encode


@pytest.fixture(scope="session")
def exif_bytes():
    """Function of (orientation, byte order) to the bytes of an EXIF block."""
    return _exif


@pytest.fixture(scope="session")
def decode_with_pillow():
    """Function of bytes to upright pixels, uint8 (height, width, 3)."""

    def decode(data, *, is_turned=True):
        image = Image.open(io.BytesIO(data))
        if is_turned:
            image = ImageOps.exif_transpose(image)
        return np.asarray(image.convert("RGB"))

    return decode
