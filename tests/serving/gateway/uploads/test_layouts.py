import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.signatures import find_format
from serving.gateway.errors import UnprocessableError
from serving.gateway.uploads.layouts import Layout, read_layout


def test_a_whole_file_ends_at_its_last_byte(encoded, format_name):
    image_format = find_format(encoded)
    assert read_layout(encoded, image_format).end == len(encoded)
    assert read_layout(encoded + b"tail", image_format).end == len(encoded)


def test_no_beginning_of_a_file_is_whole(encoded, format_name):
    image_format = find_format(encoded)
    step = max(1, len(encoded) // 500)
    for length in {*range(26, len(encoded), step), *range(len(encoded) - 30, len(encoded))}:
        assert read_layout(encoded[:length], image_format).end is None, length


@pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
def test_metadata_is_found_to_the_byte(makers, exif_bytes, name):
    exif = exif_bytes(1)
    data = makers.encode(name, exif=exif)
    exif = exif if name == "jpeg" else exif.removeprefix(b"Exif\0\0")
    spans = read_layout(data, name).metadata
    assert any(data[start:end].endswith(exif) for start, end in spans)


def test_metadata_is_added_up(makers):
    data = makers.with_segments(makers.jpeg_segment(0xFE, b"x" * 500))
    plain = read_layout(makers.encode("jpeg"), "jpeg").metadata_bytes
    assert read_layout(data, "jpeg").metadata_bytes == plain + 500
    comment = makers.encode("gif", comment=b"y" * 300)
    found = read_layout(comment, "gif").metadata_bytes
    assert found == read_layout(makers.encode("gif"), "gif").metadata_bytes + 300 + 3
    assert Layout(9, ((3, 5), (6, 9))).metadata_bytes == 5


def test_the_end_mark_of_a_thumbnail_is_not_the_end(makers):
    thumbnail = makers.encode("jpeg", makers.photo(16, 16))
    data = makers.with_segments(makers.jpeg_segment(0xE1, b"Exif\0\0" + thumbnail))
    assert read_layout(data, "jpeg").end == len(data)
    assert read_layout(data[:-2], "jpeg").end is None


def test_bytes_between_the_segments_are_skipped_as_libjpeg_does(makers):
    data = makers.encode("jpeg")
    padded = data[:2] + b"\xff\xff\xff" + data[2:]
    assert read_layout(padded, "jpeg").end == len(padded)


def test_the_pixels_of_a_png_are_found(makers):
    data = makers.encode("png")
    ((start, end),) = read_layout(data, "png").pixels
    assert data[start - 4 : start] == b"IDAT"
    assert struct.unpack(">I", data[start - 8 : start - 4]) == (end - start,)
    assert read_layout(makers.encode("jpeg"), "jpeg").pixels == ()


def test_a_jpeg_of_a_few_scans_is_ordinary_and_one_of_thousands_is_not(makers):
    data = makers.encode("jpeg", progressive=True)
    scan = data.rindex(b"\xff\xda")
    assert read_layout(data[:scan] + data[scan:-2] * 80 + data[-2:], "jpeg").end
    with pytest.raises(UnprocessableError, match="more than 100 scans") as refusal:
        read_layout(data[:scan] + data[scan:-2] * 101 + data[-2:], "jpeg")
    assert refusal.value.fix


@pytest.mark.parametrize(
    ("image_format", "data", "what"),
    [
        ("jpeg", b"\xff\xd8" + b"\xff\xe0\0\2" * 100_001, "segments"),
        ("png", b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0tEXtcrc." * 100_001, "chunks"),
        ("gif", b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe" + b"\1a" * 100_001, "blocks"),
        ("webp", b"RIFF\xff\xff\x0f\0WEBP" + b"EXIF\0\0\0\0" * 131_072, "chunks"),
    ],
)
def test_files_of_too_many_blocks_are_refused(image_format, data, what):
    with pytest.raises(UnprocessableError, match=f"made of more than 100000 {what}"):
        read_layout(data, image_format)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.binary(max_size=300), st.sampled_from(["jpeg", "png", "bmp", "gif", "webp"]))
def test_any_bytes_give_a_layout_within_them(data, image_format):
    layout = read_layout(data, image_format)
    assert layout.end is None or layout.end <= len(data)
    assert all(start >= 0 for start, _ in layout.metadata)
