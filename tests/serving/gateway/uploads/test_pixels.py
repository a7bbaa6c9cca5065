import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.signatures import find_format
from serving.gateway.uploads.pixels import (
    DAMAGES,
    buffered_pixels,
    decode_upright,
    find_kinds,
    open_picture,
)
from transform.image_ops import decode_image

TOLERANCE = {"jpeg": 1, "webp": 1}


def decode(data, *, orientation=1, min_side_pixels=10_000):
    with open_picture(data, find_format(data)) as image:
        return np.asarray(
            decode_upright(image, orientation=orientation, min_side_pixels=min_side_pixels)
        )


def assert_like_the_model(data):
    expected = decode_image(tf.constant(data)).numpy().astype(int)
    difference = np.abs(decode(data).astype(int) - expected).max()
    assert difference <= TOLERANCE.get(find_format(data), 0)


def test_pixels_are_those_of_the_model(encoded, format_name):
    assert_like_the_model(encoded)


def test_pixels_of_unusual_pictures_are_those_of_the_model(makers):
    for hostile in makers.readable():
        assert_like_the_model(hostile.data)


def test_an_orientation_turns_the_picture(makers):
    data = makers.encode("png")
    upright = decode(data)
    np.testing.assert_array_equal(decode(data, orientation=3), upright[::-1, ::-1])
    np.testing.assert_array_equal(decode(data, orientation=6), np.rot90(upright, -1))
    np.testing.assert_array_equal(decode(data, orientation=5), upright.transpose(1, 0, 2))


@pytest.mark.parametrize(("min_side", "size"), [(70, (70, 90)), (69, (70, 90)), (35, (35, 45))])
def test_a_large_jpeg_is_scaled_down_while_it_is_decoded(makers, min_side, size):
    assert decode(makers.encode("jpeg"), min_side_pixels=min_side).shape == (*size, 3)
    assert decode(makers.encode("png"), min_side_pixels=min_side).shape == (70, 90, 3)


@pytest.mark.parametrize(
    ("image_format", "options", "min_side", "pixels"),
    [
        ("jpeg", {}, 71, 6300),
        ("jpeg", {}, 70, 6300),
        ("jpeg", {}, 35, 6300 // 4),
        ("jpeg", {}, 1, 6300 // 64),
        ("jpeg", {"progressive": True}, 1, 6300),
        ("png", {}, 1, 6300),
    ],
)
def test_the_memory_of_decoding_is_foreseen(makers, image_format, options, min_side, pixels):
    with open_picture(makers.encode(image_format, **options), image_format) as image:
        assert buffered_pixels(image, min_side_pixels=min_side) == pixels


@pytest.mark.parametrize(
    ("image_format", "mode", "kinds"),
    [
        ("jpeg", "RGB", set()),
        ("jpeg", "CMYK", {"cmyk"}),
        ("png", "P", set()),
        ("png", "LA", {"alpha"}),
        ("webp", "RGBA", {"alpha"}),
        ("png", "I;16", {"16-bit"}),
    ],
)
def test_kinds_are_told(makers, image_format, mode, kinds):
    data = makers.encode(image_format, Image.new(mode, (9, 9)))
    with open_picture(data, image_format) as image:
        assert find_kinds(image, data) == kinds


def test_damage_raises_what_is_declared(makers):
    with pytest.raises(DAMAGES):
        decode(makers.encode("png")[:200])
    with pytest.raises(DAMAGES):
        open_picture(b"\xff\xd8\xff", "jpeg")
