import io

import numpy as np
import pytest
from PIL import Image

from components.example_gen import decoding
from components.example_gen.decoding import decode_upright
from configs.errors import InvalidImageError
from data.images import probe_image


def encode(pixels, image_format, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()


def probed(data):
    return data, probe_image(data, max_pixels=10**8)


@pytest.fixture
def photos():
    random = np.random.default_rng(3)
    sizes = [(40, 60), (600, 700), (1300, 1400), (33, 1500), (90, 90)]
    return [random.integers(0, 255, (*size, 3), np.uint8) for size in sizes]


def test_together_and_alone_images_have_the_same_pixels(photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [encode(photo, "JPEG") for photo in photos]
    files += [encode(photos[0], "PNG"), encode(photos[0], "JPEG", exif=exif.tobytes())]
    together = list(decode_upright([probed(data) for data in files]))
    for data, pixels in zip(files, together, strict=True):
        (alone,) = decode_upright([probed(data)])
        np.testing.assert_array_equal(pixels, alone)
    assert together[-1].shape == (60, 40, 3)


def test_a_damaged_image_spoils_no_other(photos):
    good = [encode(photo, "JPEG") for photo in photos]
    damaged = good[0][: len(good[0]) // 2]
    first, wrong, last = decode_upright([probed(good[0]), probed(damaged), probed(good[4])])
    assert isinstance(wrong, InvalidImageError)
    assert "the jpeg pixels are damaged" in str(wrong)
    assert first.shape == (40, 60, 3)
    assert last.shape == (90, 90, 3)


def test_large_images_are_decoded_one_at_a_time(photos, monkeypatch):
    ahead = []
    monkeypatch.setattr(decoding, "_decode_plain_jpegs", lambda images: ahead.extend(images) or [])
    large = np.zeros((1500, 1500, 3), np.uint8)
    files = [encode(photos[0], "JPEG"), encode(large, "JPEG")]
    assert len(list(decode_upright([probed(data) for data in files]))) == 2
    assert ahead == files[:1]
