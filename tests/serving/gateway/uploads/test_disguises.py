import io
import zipfile

import pytest

from serving.gateway.errors import UnprocessableError
from serving.gateway.uploads.disguises import check_disguise
from serving.gateway.uploads.layouts import read_layout


def check(data, image_format="jpeg"):
    check_disguise(data, image_format, read_layout(data, image_format), subject="image 'a.jpg'")


def test_ordinary_pictures_pass(encoded, format_name):
    check(encoded, format_name.split()[0])


def test_padding_passes(makers):
    for name in set(makers.FORMATS) - {"bmp"}:
        check(makers.encode(name) + bytes(9) + b"\xff\r\n", name)


def test_a_bmp_is_not_padded_because_the_model_refuses_it(makers):
    with pytest.raises(UnprocessableError, match="goes on for 2 bytes"):
        check(makers.encode("bmp") + bytes(2), "bmp")


@pytest.mark.parametrize("name", ["jpeg", "png", "bmp", "gif", "webp"])
def test_what_follows_is_named(makers, name):
    with pytest.raises(UnprocessableError) as refusal:
        check(makers.encode(name) + b"<html></html>", name)
    words = "image 'a.jpg' goes on for 13 bytes after its end: an HTML page"
    assert refusal.value.message == words
    assert refusal.value.accepted == "a picture and its metadata, nothing else"


def test_only_a_jpeg_may_be_followed_by_a_picture(makers):
    check(makers.encode("jpeg") * 2)
    with pytest.raises(UnprocessableError, match="after its end"):
        check(makers.encode("png") + makers.encode("jpeg"), "png")


@pytest.mark.parametrize(
    "text", [b"<SCRIPT>", b"<script src=a>", b"<?PHP ", b"<iframe>", b"%PDF-1", b"<!DocType HTML>"]
)
def test_foreign_words_in_metadata_are_found_in_any_case(makers, text):
    with pytest.raises(UnprocessableError, match="where pictures have none"):
        check(makers.with_segments(makers.jpeg_segment(0xFE, b"x" + text)))


@pytest.mark.parametrize(
    "text", [b"<?xpacket begin='' id='W5M0'?><x:xmpmeta><rdf:RDF/></x:xmpmeta>", b"I <3 scripts"]
)
def test_ordinary_metadata_passes(makers, text):
    check(makers.with_segments(makers.jpeg_segment(0xE1, text)))


def test_pixels_may_spell_anything(makers):
    # Stored without compression, these are the bytes of pixels.
    image = makers.photo(60, 1)
    image.putdata([(60, 115, 99), (114, 105, 112), (116, 62, 0)] * 20)
    data = makers.encode("bmp", image)
    assert b"cs<" in data
    row = (b"<script>" * 23)[:180]
    check(data[:54] + row + data[54 + 180 :], "bmp")


def test_the_mark_of_a_zip_without_a_directory_passes(makers):
    comment = makers.jpeg_segment(0xFE, b"PK\5\6" + b"\1" * 30)
    check(makers.with_segments(comment))


def test_a_zip_with_a_comment_is_found(makers):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
        archive.comment = b"\0" * 900
    data = makers.encode("jpeg") + b"\0\0\0\x18ftyp" + file.getvalue()
    with pytest.raises(UnprocessableError, match="is a zip archive as well"):
        check(data)


def test_a_gif_as_wide_as_a_comment_mark_passes_without_a_closing_one(makers):
    data = bytearray(makers.encode("gif"))
    data[6:8] = b"/*"
    check(bytes(data), "gif")
    with pytest.raises(UnprocessableError, match="is a JavaScript program as well"):
        check(makers.gif_script(b""), "gif")
