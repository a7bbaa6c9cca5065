import io

import pytest
from PIL import Image

from data.signatures import ACCEPTED_FORMATS, describe_content, find_format


@pytest.mark.parametrize("name", ACCEPTED_FORMATS)
def test_every_accepted_format_is_recognised(encode, name):
    assert find_format(encode(name)) == name


@pytest.mark.parametrize("name", ["TIFF", "AVIF", "ICO"])
def test_other_image_formats_are_not_accepted(encode, name):
    assert find_format(encode(name)) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"\0" * 9, "the file holds only zero bytes"),
        (b"  <!DOCTYPE html><p>404", "the file is an HTML page"),
        (b"<svg xmlns=", "the file is an SVG drawing"),
        (b"%PDF-1.7", "the file is a PDF document"),
        (b"PK\x03\x04...", "the file is a zip archive (or an office document)"),
        (b"\x1f\x8b\x08", "the file is a gzip archive"),
        (b'{"error": 1}', "the file is JSON text"),
        (b"BMX bikes are fun to ride, said the text.", "the file is text"),
        (b"\0\0\0\x18ftypheic\0", "the file is a HEIC image"),
        (b"\0\0\0\x18ftypmp42\0", "the file is an MP4 or QuickTime video"),
        (b"version https://git-lfs.github.com/spec", "the file is a Git LFS pointer whose"),
        (b"\x01\x02\x03", "the file is of an unknown kind (it begins with 01 02 03)"),
    ],
)
def test_a_file_that_is_no_image_is_described(data, words):
    assert find_format(data) is None
    assert describe_content(data).startswith(words)


@pytest.mark.parametrize(("name", "words"), [("TIFF", "a TIFF image"), ("AVIF", "an AVIF image")])
def test_unsupported_image_formats_are_named(name, words):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, name)
    assert describe_content(buffer.getvalue()) == f"the file is {words}"
