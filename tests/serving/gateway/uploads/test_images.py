import contextlib
import io
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from components.example_gen.decoding import decode_upright
from data.images import probe_image
from data.quality import measure_quality
from serving.gateway.errors import (
    BadRequestError,
    GatewayError,
    OverloadedError,
    TooLargeError,
    UnprocessableError,
    UnsupportedTypeError,
)
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads import images
from serving.gateway.uploads.images import check_header, check_image, check_pixels, strip_metadata
from serving.gateway.uploads.upload import Upload
from transform.image_ops import decode_image

DEFAULT = UploadSettings()
STRICT = UploadSettings(refused=["animated", "cmyk", "16-bit", "alpha", "mislabelled"])
LENIENT = UploadSettings(refused=[])


def check(data, limits=LENIENT, name=""):
    return check_image(Upload(data, name), limits)


def upload_of(hostile):
    return Upload(hostile.data, hostile.name.replace("upload.bin", ""), hostile.content_type)


def test_hostile_pictures_are_refused_with_a_reason(hostile):
    with pytest.raises(GatewayError) as refusal:
        check_image(upload_of(hostile), STRICT)
    error = refusal.value
    assert error.http_status == hostile.status, error.message
    assert hostile.words in error.message
    assert error.message
    assert error.got
    assert error.accepted
    assert error.fix


def test_the_default_settings_accept_what_the_model_reads_as_in_training(hostile):
    if hostile.is_readable:
        assert check_image(upload_of(hostile), DEFAULT).data == hostile.data
    else:
        with pytest.raises(GatewayError) as refusal:
            check_image(upload_of(hostile), DEFAULT)
        assert 400 <= refusal.value.http_status < 500


def test_no_hostile_picture_takes_long(hostile):
    started = time.process_time()
    with contextlib.suppress(GatewayError):
        check_image(upload_of(hostile), STRICT)
    assert time.process_time() - started < 1.0


MEMORY_SCRIPT = """
import resource, sys
from pathlib import Path
from serving.gateway.errors import GatewayError
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads.images import check_image
from serving.gateway.uploads.upload import Upload
for path in sys.argv[1:]:
    data = Path(path).read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        check_image(Upload(data), UploadSettings())
    except GatewayError as error:
        print(error.http_status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_bombs_take_no_memory(makers, tmp_path):
    bombs = list(makers.bombs())
    paths = [tmp_path / str(number) for number in range(len(bombs))]
    for bomb, path in zip(bombs, paths, strict=True):
        path.write_bytes(bomb.data)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT, *map(str, paths)], capture_output=True, check=True
    )
    lines = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert [status for status, _ in lines] == [bomb.status for bomb in bombs]
    assert max(kibibytes for _, kibibytes in lines) < 20_000


def test_what_is_found_out(encoded, format_name):
    found = check(encoded)
    probe = probe_image(encoded, max_pixels=10**9)
    assert found.data is encoded
    assert (found.format, found.width, found.height, found.channels, found.orientation) == (
        probe.format,
        probe.width,
        probe.height,
        probe.channels,
        probe.orientation,
    )


def example_gen_quality(data):
    (pixels,) = decode_upright([(data, probe_image(data, max_pixels=10**9))])
    assert isinstance(pixels, np.ndarray), pixels
    return measure_quality(pixels)


def assert_same_quality(data):
    ours, theirs = check(data).quality, example_gen_quality(data)
    assert ours.brightness == pytest.approx(theirs.brightness, abs=1e-6)
    assert ours.contrast == pytest.approx(theirs.contrast, abs=1e-6)
    assert ours.sharpness == pytest.approx(theirs.sharpness, rel=1e-4, abs=1e-4)
    assert ours.saturation == pytest.approx(theirs.saturation, abs=1e-6)
    assert ours.dhash == theirs.dhash


def test_pixels_are_kept_until_they_are_measured_and_no_longer(makers):
    upload = Upload(makers.encode("jpeg", makers.photo(60, 40)))
    header = check_header(upload, DEFAULT)
    for measure_later in (False, True):
        image = check_pixels(header, DEFAULT, measure_later=measure_later)
        assert isinstance(image.measurement._known, Image.Image) == measure_later
        assert image.quality == check(upload.data).quality
        assert not isinstance(image.measurement._known, Image.Image)


def test_the_measures_are_those_of_example_gen(encoded, format_name):
    assert_same_quality(encoded)


def test_the_measures_are_those_of_example_gen_for_unusual_pictures(makers):
    for hostile in makers.readable():
        assert_same_quality(hostile.data)
    assert_same_quality(makers.encode("gif", save_all=True, append_images=[makers.photo()]))


@pytest.mark.parametrize("size", [(576, 600), (575, 700), (1200, 1900), (3000, 2400)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_large_jpegs_are_measured_at_the_scale_of_example_gen(makers, size, options):
    assert_same_quality(makers.encode("jpeg", makers.photo(*size), **options))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_measured_upright(makers, exif_bytes, orientation):
    assert_same_quality(makers.encode("jpeg", exif=exif_bytes(orientation)))


@pytest.mark.parametrize("offset", [(0, 0), (40, 30), (100, 0)])
def test_of_a_gif_the_first_frame_counts_without_the_screen_around_it(makers, offset):
    inner = makers.photo().convert("P", palette=Image.Palette.ADAPTIVE)
    data = bytearray(makers.encode("gif", inner))
    data[6:10] = struct.pack("<HH", 200, 150)
    frame = data.index(b"\x2c\0\0\0\0")
    data[frame + 1 : frame + 5] = struct.pack("<HH", *offset)
    assert_same_quality(bytes(data))


@pytest.mark.parametrize(("name", "status"), [("webp", 422), ("gif", 200), ("png", 200)])
def test_animations_that_the_model_reads_can_be_allowed(makers, name, status):
    if status == 200:
        assert check(makers.frames(name)).format == name
    else:
        with pytest.raises(GatewayError, match="an animated webp, which the model cannot read"):
            check(makers.frames(name))


def test_the_limits_are_those_of_the_settings(photo_bytes):
    size = len(photo_bytes)
    check(photo_bytes, UploadSettings(max_image_bytes=size, max_pixels=6300))
    with pytest.raises(TooLargeError, match=f"^image 'cat.jpg' has {size} bytes$"):
        check(photo_bytes, UploadSettings(max_image_bytes=size - 1), "cat.jpg")
    with pytest.raises(TooLargeError, match="^the image has 90x70 pixels$") as refusal:
        check(photo_bytes, UploadSettings(max_pixels=6299))
    assert refusal.value.got == "6300 pixels"
    assert refusal.value.accepted == "at most 6299 pixels"


def test_phones_may_append_more_pictures_and_films(photo_bytes):
    for tail in (
        photo_bytes,
        photo_bytes + photo_bytes,
        b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40,
        b"\0\0\x01\x0aMotionPhoto_Data" + bytes(90) + b"SEFH" + bytes(20) + b"SEFT",
        bytes(4096),
    ):
        assert check(photo_bytes + tail).width == 90


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"RIFF"]),
)
def test_random_bytes_are_refused(data, start):
    with pytest.raises(GatewayError) as refusal:
        check(start + data)
    assert 400 <= refusal.value.http_status < 500


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(st.data(), st.sampled_from(["jpeg", "png", "bmp", "gif", "webp"]))
def test_damage_gives_a_picture_or_a_refusal(makers, draw, name):
    data = bytearray(makers.encode(name, makers.photo(20, 16)))
    for _ in range(draw.draw(st.integers(1, 6))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    found = None
    try:
        found = check(bytes(data))
    except (BadRequestError, TooLargeError, UnprocessableError, UnsupportedTypeError):
        event("refused")
    if found:
        assert found.width * found.height <= LENIENT.max_pixels
        assert strip_metadata(found).startswith(b"\x89PNG")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.data(), st.sampled_from(["jpeg", "png", "bmp", "gif", "webp"]))
def test_what_is_accepted_is_readable_for_the_model(makers, draw, name):
    data = bytearray(makers.encode(name, makers.photo(20, 16)))
    # Most of what decides is at either end.
    places = (
        st.integers(0, len(data) - 1)
        | st.integers(0, 60)
        | st.integers(len(data) - 20, len(data) - 1)
    )
    for _ in range(draw.draw(st.integers(0, 2))):
        data[draw.draw(places)] = draw.draw(st.integers(0, 255))
    data += draw.draw(st.sampled_from([b"", b"\0", b"\xff\xd9"]))
    with contextlib.suppress(GatewayError):
        check(bytes(data))
        event("accepted")
        assert decode_image(tf.constant(bytes(data))).shape[-1] == 3


def reopen(data):
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_stripped_picture_stands_upright(makers, exif_bytes, decode_with_pillow, orientation):
    data = makers.encode("png", exif=exif_bytes(orientation))
    stripped = reopen(strip_metadata(check(data)))
    np.testing.assert_array_equal(np.asarray(stripped), decode_with_pillow(data))


@pytest.mark.parametrize("name", ["jpeg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_scaled_picture_stands_upright_and_holds_no_metadata(
    makers, exif_bytes, decode_with_pillow, name, orientation
):
    data = makers.encode(name, makers.photo(1200, 800), exif=exif_bytes(orientation))
    stripped = reopen(strip_metadata(check(data), max_side_pixels=150))
    upright = Image.fromarray(decode_with_pillow(data))
    assert max(stripped.size) == 150
    expected = upright.resize(stripped.size, Image.Resampling.BOX)
    difference = np.asarray(stripped).astype(int) - np.asarray(expected)
    assert np.abs(difference).mean() < 4
    assert not stripped.info
    assert not stripped.getexif()


def test_a_stripped_picture_holds_nothing_but_pixels(makers, exif_bytes):
    options = {"exif": exif_bytes(1), "icc_profile": b"profile" * 50, "dpi": (300, 300)}
    for name, more in (("jpeg", {"comment": b"home address"}), ("png", {}), ("webp", {})):
        stripped = strip_metadata(check(makers.encode(name, **options, **more)))
        kinds = []
        position = 8
        while position < len(stripped):
            length, kind = struct.unpack_from(">I4s", stripped, position)
            kinds.append(kind)
            position += 12 + length
        assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
        assert reopen(stripped).mode == "RGB"


def test_every_format_can_be_stripped(encoded, format_name):
    found = check(encoded)
    assert reopen(strip_metadata(found)).size in {(80, 48), (48, 80), (800, 480)}


def test_a_large_picture_is_stripped_to_the_size_of_a_screen(makers):
    found = check(makers.encode("jpeg", makers.photo(3000, 2000)))
    assert reopen(strip_metadata(found)).size == (1024, 683)
    assert reopen(strip_metadata(found, max_side_pixels=300)).size == (300, 200)


def test_large_pictures_take_turns(makers, monkeypatch):
    large = makers.encode("png", Image.new("RGB", (4000, 2001)))
    monkeypatch.setattr(images, "_LARGE_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(images, "_large_pictures", threading.BoundedSemaphore(1))
    with images._large_pictures:
        with pytest.raises(OverloadedError, match="other large pictures are being read") as refusal:
            check(large)
        assert refusal.value.headers == {"Retry-After": "2"}
        assert check(makers.encode("jpeg", makers.photo(4000, 3000))).width == 4000
    assert check(large).width == 4000
    assert check(large).width == 4000


def test_threads_do_not_disturb_each_other(makers):
    pictures = [makers.encode(name) for name in makers.FORMATS] * 8
    expected = [check(data).quality for data in pictures]
    found = [None] * len(pictures)

    def work(start):
        for index in range(start, len(pictures), 4):
            found[index] = check(pictures[index]).quality

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
