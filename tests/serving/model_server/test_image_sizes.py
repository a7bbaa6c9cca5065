"""Pixels promised by headers, compared with what Pillow and TensorFlow read."""

import io
import struct
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from serving.model_server.image_sizes import MAX_BLOCKS, UNBOUNDED, count_pixels


def encode(size, image_format, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, image_format, **options)
    return buffer.getvalue()


ENCODINGS = {
    "jpeg": {"image_format": "JPEG"},
    "grey jpeg": {"image_format": "JPEG", "mode": "L"},
    "progressive jpeg": {"image_format": "JPEG", "progressive": True},
    "jpeg with exif": {"image_format": "JPEG", "exif": b"Exif\0\0" + b"\xff\xc0" * 999},
    "cmyk jpeg": {"image_format": "JPEG", "mode": "CMYK"},
    "png": {"image_format": "PNG"},
    "palette png": {"image_format": "PNG", "mode": "P"},
    "bmp": {"image_format": "BMP"},
    "gif": {"image_format": "GIF", "mode": "P"},
    "lossy webp": {"image_format": "WEBP"},
    "lossless webp": {"image_format": "WEBP", "lossless": True},
    "webp with alpha": {"image_format": "WEBP", "mode": "RGBA", "exif": b"Exif\0\0II*\0"},
}


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("size", [(1, 1), (37, 23), (300, 1000)])
def test_size_of_every_encoding(name, size):
    assert count_pixels(encode(size, **ENCODINGS[name])) == size[0] * size[1]


@pytest.mark.parametrize("image_format", ["GIF", "WEBP"])
def test_every_frame_counts(image_format):
    frames = [Image.new("RGB", (20, 30), (index * 60, 0, 0)) for index in range(4)]
    buffer = io.BytesIO()
    frames[0].save(buffer, image_format, save_all=True, append_images=frames[1:])
    assert count_pixels(buffer.getvalue()) == 4 * 20 * 30


def test_old_and_upside_down_bitmaps():
    old = b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 20_000, 20_000, 1, 24)
    assert count_pixels(old) == 400_000_000
    flipped = b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 20, -30, 1, 24)
    assert count_pixels(flipped) == 600


def test_a_jpeg_cannot_hide_its_size_behind_what_libjpeg_skips():
    frame = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 20_000, 20_000) + bytes(10)
    for junk in (b"", b"\xff" * 99, b"junk\xff\0\xff\xff\0", b"\xff\xd0", b"\xff\xfe\0\x08abcdef"):
        data = b"\xff\xd8\xff\xe0\0\x04ab" + junk + frame
        assert count_pixels(data) == 400_000_000


@pytest.mark.parametrize("text", [b"", b"B", b"BM", b"BMX is a kind of bicycle, not a bitmap."])
def test_what_is_no_image_has_no_size(text):
    assert count_pixels(text) is None


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_image_cut_off_anywhere_has_the_same_size_or_none(name):
    data = encode((37, 23), **ENCODINGS[name])
    for end in range(0, len(data), 7):
        assert count_pixels(data[:end]) in {None, 37 * 23}


@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"RIFF1234WEBPVP8X"]),
    st.binary(max_size=300),
)
def test_any_bytes_have_a_size_or_none(start, rest):
    assert (count_pixels(start + rest) or 0) >= 0


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff" + b"\xff\xe0\0\x02" * 2_000_000,
        b"\xff\xd8\xff" + b"\xff" * 8_000_000,
        b"GIF89a" + bytes(7) + b"\x21\xf9" + b"\x01x" * 4_000_000,
        b"RIFF1234WEBPVP8X" + bytes(14) + b"ANMF\0\0\0\0" * 1_000_000,
    ],
    ids=["segments", "fill bytes", "blocks", "chunks"],
)
def test_work_is_bounded(data):
    started = time.perf_counter()
    count_pixels(data)
    assert time.perf_counter() - started < 1.0


def test_a_size_behind_too_many_blocks_is_unbounded():
    data = b"\xff\xd8" + b"\xff\xe0\0\x02" * (MAX_BLOCKS + 1)
    assert count_pixels(data) == UNBOUNDED


def test_png_of_a_bomb():
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    assert count_pixels(b"\x89PNG\r\n\x1a\n" + chunk) == 400_000_000
