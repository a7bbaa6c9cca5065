import struct

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from transform.exif import read_orientation

_READ_IN_GRAPH = tf.function(read_orientation, input_signature=[tf.TensorSpec([], tf.string)])
_HEADS = [b"", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]
_MARKS = [b"Exif\0\0", b"MM\0*", b"II*\0", b"\x01\x12", b"\x12\x01", b"eXIf", b"EXIF", b"\xff" * 8]


def _read(data):
    return int(_READ_IN_GRAPH(tf.constant(data)))


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_read(
    orientation, file_format, byte_order, draw_photo, encode, exif_bytes
):
    exif = exif_bytes(orientation, byte_order)
    assert _read(encode(draw_photo(8, 12), file_format, exif=exif)) == orientation


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_upright(orientation, draw_photo, encode, exif_bytes):
    assert _read(encode(draw_photo(8, 12), "JPEG", exif=exif_bytes(orientation))) == 1


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_an_image_without_exif_is_upright(file_format, draw_photo, encode):
    assert _read(encode(draw_photo(8, 12), file_format)) == 1


def test_exif_after_other_segments_is_found(draw_photo, encode, exif_bytes):
    data = encode(draw_photo(8, 12), "JPEG", exif=exif_bytes(6))
    comment = b"\xff\xfe" + struct.pack(">H", 1000) + b"c" * 998
    xmp = b"\xff\xe1" + struct.pack(">H", 31) + b"http://ns.adobe.com/xap/1.0/\0"
    assert _read(data[:2] + comment + xmp + data[2:]) == 6


def test_a_long_orientation_is_read():
    entry = struct.pack(">HHII", 0x0112, 4, 1, 6)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + entry
    segment = b"Exif\0\0" + tiff
    assert _read(b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment) == 6


def test_a_tag_outside_the_directory_is_not_read():
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 0) + entry
    segment = b"Exif\0\0" + tiff
    assert _read(b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment) == 1


def test_a_truncated_file_is_read_as_far_as_it_goes(draw_photo, encode, exif_bytes):
    data = encode(draw_photo(8, 12), "JPEG", exif=exif_bytes(5))
    assert {_read(data[:length]) for length in range(120)} <= {1, 5}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(_HEADS),
    st.lists(st.one_of(st.sampled_from(_MARKS), st.binary(max_size=12)), max_size=30),
)
def test_arbitrary_bytes_never_fail(head, pieces):
    assert 1 <= _read(head + b"".join(pieces)) <= 8


def test_a_chain_of_tiny_blocks_ends():
    assert _read(b"\xff\xd8" + b"\xff\xe0\0\x02" * 1_000_000) == 1
