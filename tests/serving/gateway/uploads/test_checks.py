import pytest

from data.images import ImageProbe
from serving.gateway.errors import (
    BadRequestError,
    TooLargeError,
    UnprocessableError,
    UnsupportedTypeError,
)
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads import checks
from serving.gateway.uploads.layouts import Layout, read_layout
from serving.gateway.uploads.upload import Upload

LIMITS = UploadSettings()
JPEG = ImageProbe("jpeg", 70, 90, 3, 1, frames=1)


def test_a_file_is_recognised_by_its_content(makers):
    for name in makers.FORMATS:
        assert checks.recognise(Upload(makers.encode(name), "wrong.txt"), LIMITS) == name


def test_what_is_no_image_is_named():
    with pytest.raises(UnsupportedTypeError) as refusal:
        checks.recognise(Upload(b"%PDF-1.7", "cat.jpg"), LIMITS)
    error = refusal.value
    assert error.message == "image 'cat.jpg' is a PDF document, not an image of an accepted format"
    assert (error.got, error.accepted) == ("is a PDF document", "jpeg, png, bmp, gif, webp")
    with pytest.raises(BadRequestError, match="^the image is empty$"):
        checks.recognise(Upload(b""), LIMITS)


def test_a_damaged_header_is_refused_without_naming_settings_of_training():
    with pytest.raises(UnprocessableError, match="^the image cannot be read: the jpeg header") as e:
        checks.read_header(b"\xff\xd8\xff\xe0\0", "the image", LIMITS)
    assert "data." not in e.value.message


@pytest.mark.parametrize(
    ("name", "content_type", "is_mislabelled"),
    [
        ("a.jpg", "image/jpeg", False),
        ("a.JPEG", "image/pjpeg", False),
        ("a.jfif", "", False),
        ("cat", "application/octet-stream", False),
        ("a.png", "image/jpeg", True),
        ("a.jpg", "image/png", True),
        ("a.jpg.exe", "", True),
        ("a.jpg", "text/html", True),
        ("a.jpg", "image/svg+xml", True),
    ],
)
def test_labels_are_compared_with_the_content(name, content_type, is_mislabelled):
    kinds = checks.header_kinds(Upload(b"", name, content_type), JPEG)
    assert ("mislabelled" in kinds) == is_mislabelled


def test_more_than_one_frame_is_an_animation():
    assert checks.header_kinds(Upload(b""), ImageProbe("gif", 1, 1, 3, 1, frames=2)) == {"animated"}


def test_only_refused_kinds_are_refused():
    limits = UploadSettings(refused=["cmyk", "alpha"])
    checks.refuse_kinds({"animated", "16-bit"}, "the image", limits)
    with pytest.raises(UnprocessableError, match="the image is cmyk") as refusal:
        checks.refuse_kinds({"animated", "cmyk"}, "the image", limits)
    assert refusal.value.accepted == "pictures that are not alpha, cmyk"


def test_metadata_is_limited_to_the_byte():
    limits = UploadSettings(max_metadata_bytes=2000)
    checks.check_layout(b"", JPEG, Layout(9, ((0, 1500), (2000, 2500))), "the image", limits)
    with pytest.raises(TooLargeError, match="carries 2001 bytes of metadata"):
        checks.check_layout(b"", JPEG, Layout(9, ((0, 2001),)), "the image", limits)


def test_a_file_without_its_end_is_cut_off():
    with pytest.raises(UnprocessableError, match="the image is cut off: the jpeg file ends"):
        checks.check_layout(b"abc", JPEG, Layout(None, ()), "the image", LIMITS)


@pytest.mark.parametrize(
    ("options", "is_readable"),
    [
        ({"bits": 24}, True),
        ({"bits": 32}, True),
        ({"bits": 32, "compression": 3}, True),
        ({"bits": 16, "compression": 3}, False),
        ({"bits": 8}, True),
        ({"bits": 8, "compression": 1}, False),
        ({"bits": 4}, False),
        ({"bits": 24, "header_bytes": 12}, False),
    ],
)
def test_a_bmp_must_be_of_a_kind_that_the_model_reads(makers, options, is_readable):
    data = makers.bmp_header(8, 8, **options)
    probe = ImageProbe("bmp", 8, 8, 3, 1, frames=1)
    if is_readable:
        checks.check_readable(data, probe, "the image")
    else:
        with pytest.raises(UnprocessableError, match="a bmp of a rare kind"):
            checks.check_readable(data, probe, "the image")


def test_a_png_may_not_hold_more_than_it_promises(makers):
    exact, more = makers.png(10, 10, bytes(310)), makers.png(10, 10, bytes(311))
    checks.check_png_data(exact, read_layout(exact, "png"), "the image")
    with pytest.raises(UnprocessableError, match="inflates to more than the 310 bytes"):
        checks.check_png_data(more, read_layout(more, "png"), "the image")


def test_the_words_of_a_decoder_are_passed_on():
    with pytest.raises(
        UnprocessableError, match="^image 'a' cannot be read: it is odd$"
    ) as refusal:
        checks.refuse_damaged("image 'a'", "it is odd", ValueError("odd"))
    assert isinstance(refusal.value.__cause__, ValueError)
