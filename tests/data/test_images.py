import contextlib
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from configs.errors import InvalidImageError
from data.buckets import BucketPath
from data.drawing.defects import spoil_file
from data.images import probe_image, read_image_file

FORMATS = ["JPEG", "PNG", "BMP", "GIF", "WEBP"]
MANY_PIXELS = 50_000_000


def probe(data, max_pixels=MANY_PIXELS):
    return probe_image(data, max_pixels=max_pixels)


@pytest.mark.parametrize("name", FORMATS)
def test_header_gives_format_and_size(encode, name):
    found = probe(encode(name))
    assert (found.format, found.height, found.width) == (name.lower(), 60, 80)
    assert (found.channels, found.orientation, found.frames) == (3, 1, 1)


@pytest.mark.parametrize(
    ("name", "mode", "channels"),
    [
        ("JPEG", "L", 1),
        ("JPEG", "CMYK", 4),
        ("PNG", "1", 1),
        ("PNG", "P", 3),
        ("PNG", "LA", 2),
        ("PNG", "RGBA", 4),
        ("PNG", "I;16", 1),
        ("WEBP", "RGBA", 4),
        ("GIF", "P", 3),
    ],
)
def test_channels_are_counted(encode, name, mode, channels):
    assert (
        probe(encode(name, Image.new(mode, (9, 9), 1 if mode != "CMYK" else 0))).channels
        == channels
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_read_and_size_left_as_stored(encode, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = probe(encode(name, exif=exif))
    assert (found.orientation, found.height, found.width) == (orientation, 60, 80)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("entry", ["HHIHH", "HHII"])
@pytest.mark.parametrize(("value", "expected"), [(6, 6), (0, 1), (9, 1)])
def test_orientation_is_read_in_both_byte_orders(encode, order, entry, value, expected):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    kind, padding = (3, (0,)) if entry == "HHIHH" else (4, ())
    tiff = mark + struct.pack(f"{order}IH{entry}", 8, 1, 0x0112, kind, 1, value, *padding)
    assert probe(encode(exif=b"Exif\0\0" + tiff)).orientation == expected


def test_a_cut_off_exif_block_counts_as_none(encode):
    assert probe(encode(exif=b"Exif\0\0II*\0\xff\0\0\0")).orientation == 1


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_frames_are_counted(encode, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    data = encode(name, frames[0], save_all=True, append_images=frames[1:])
    assert probe(data).frames == 3


def test_a_header_alone_is_enough(encode):
    assert probe(encode("JPEG")[:700]).width == 80


@pytest.mark.parametrize("name", FORMATS)
def test_more_pixels_than_allowed_are_refused(encode, name):
    assert probe(encode(name), max_pixels=4800)
    with pytest.raises(InvalidImageError, match=r"has 80x60 = 4800 pixels, expected at most 4799"):
        probe(encode(name), max_pixels=4799)


def png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def test_a_decompression_bomb_is_refused_without_a_warning_of_pillow():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(InvalidImageError, match="60000x60000 = 3600000000 pixels"):
            probe(png_header(60_000, 60_000) + b"\0\0\0\0IDAT")
    assert seen == []


@pytest.mark.parametrize(("width", "height"), [(0, 9), (9, 0)])
def test_a_side_of_zero_pixels_is_refused(width, height):
    with pytest.raises(InvalidImageError, match="gives no width and height above 0"):
        probe(png_header(width, height) + b"\0\0\0\0IDAT")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty, expected an image"),
        (b"<html>", "the file is an HTML page, expected an image"),
        (b"\xff\xd8\xff\xe0\0", "the jpeg header is damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "the webp header is damaged"),
        (b"GIF89a", "the gif header is damaged"),
        (b"GIF89a\1\0\1\0\0\0\0;", "the gif header is damaged: it holds no picture"),
        (b"GIF89a\0\0\0\0\0\0\0," + bytes(10), "the image has 0x0 pixels, expected at least"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\3IHDR\0\0\0c\x83^u\x08", "the png header is damaged: "),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason(data, message):
    with pytest.raises(InvalidImageError, match=message):
        probe(data)


@pytest.mark.parametrize("name", ["TIFF", "AVIF"])
def test_an_unsupported_format_is_named_with_the_accepted_ones(encode, name):
    message = rf"the file is an? {name} image, expected an image \(jpeg, png, bmp, gif, webp\)"
    with pytest.raises(InvalidImageError, match=message):
        probe(encode(name))


@given(
    st.binary(max_size=400),
    st.sampled_from([
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"GIF89a",
        b"RIFF\x40\0\0\0WEBP",
    ]),
)
def test_random_bytes_give_a_probe_or_our_error(data, start):
    with contextlib.suppress(InvalidImageError):
        assert probe(start + data).width > 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.data(), st.sampled_from(FORMATS))
def test_damaged_images_give_a_probe_or_our_error(encode, draw, name):
    data = bytearray(encode(name))
    for _ in range(draw.draw(st.integers(0, 6))):
        data[draw.draw(st.integers(0, min(len(data), 300) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidImageError):
        found = probe(bytes(data[: draw.draw(st.integers(0, len(data)))]))
        assert found.height * found.width <= MANY_PIXELS


def test_a_file_is_read_up_to_the_limit(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(b"12345")
    assert read_image_file(path, max_bytes=5) == b"12345"
    with pytest.raises(InvalidImageError, match="has 5 bytes, expected at most 4"):
        read_image_file(path, max_bytes=4)


def test_a_file_that_is_gone_or_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("gone.jpg", "pipe.jpg"):
        with pytest.raises(InvalidImageError, match="the file is gone"):
            read_image_file(tmp_path / name, max_bytes=5)


def test_an_unreadable_file_is_refused(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(b"x")
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o711)
    path.chmod(0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything, nobody may not
    try:
        with pytest.raises(InvalidImageError, match="cannot be read: Permission denied"):
            read_image_file(path, max_bytes=5)
    finally:
        os.seteuid(user)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.integers(0, 1000))
def test_drawn_defects_give_a_probe_or_our_error(encode, seed):
    with contextlib.suppress(InvalidImageError):
        assert probe(spoil_file(encode(), np.random.default_rng(seed))).format == "jpeg"


def test_an_image_in_a_bucket_is_read_up_to_the_limit(storage):
    storage.make_bucket("b", {"12345": b"12345", "empty": b""})
    assert read_image_file(BucketPath("gs://b/12345"), max_bytes=5) == b"12345"
    assert read_image_file(BucketPath("gs://b/empty"), max_bytes=5) == b""
    with pytest.raises(InvalidImageError, match="has at least 5 bytes, expected at most 4"):
        read_image_file(BucketPath("gs://b/12345"), max_bytes=4)
    with pytest.raises(InvalidImageError, match="cannot be read: No such object: b/gone"):
        read_image_file(BucketPath("gs://b/gone"), max_bytes=5)
