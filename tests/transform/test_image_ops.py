import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from transform.exif import read_orientation
from transform.image_ops import (
    bytes_to_pixels,
    decode_image,
    image_batch_to_pixels,
    image_bytes_to_pixels,
    orient_image,
    pixels_to_bytes,
    resize_image,
    scale_pixels,
)

SIZE = {"height_pixels": 24, "width_pixels": 32}

_DECODE_IN_GRAPH = tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)])


def test_decoding_equals_pillow(encoded, decode_with_pillow):
    expected = decode_with_pillow(encoded, is_turned=False)
    np.testing.assert_array_equal(_DECODE_IN_GRAPH(tf.constant(encoded)), expected)


def test_orienting_equals_pillow(encoded, decode_with_pillow):
    orientation = read_orientation(tf.constant(encoded))
    image = orient_image(decode_image(tf.constant(encoded)), orientation=orientation)
    np.testing.assert_array_equal(image, decode_with_pillow(encoded))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_equals_pillow(orientation, draw_photo, encode, exif_bytes):
    data = encode(draw_photo(5, 9), "PNG", exif=exif_bytes(orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    image = tf.constant(np.asarray(draw_photo(5, 9)))
    turned = orient_image(image, orientation=tf.constant(orientation, tf.int64))
    np.testing.assert_array_equal(turned, expected)


def test_eager_graph_and_dataset_agree(encoded_formats):
    batch = list(encoded_formats.values())
    eager = np.stack([image_bytes_to_pixels(tf.constant(one), **SIZE) for one in batch])
    in_graph = tf.function(lambda data: image_batch_to_pixels(data, **SIZE))(tf.constant(batch))
    dataset = tf.data.Dataset.from_tensor_slices(batch).map(
        lambda one: image_bytes_to_pixels(one, **SIZE)
    )
    np.testing.assert_array_equal(in_graph, eager)
    np.testing.assert_array_equal(np.stack(list(dataset.as_numpy_iterator())), eager)


def test_turned_and_plain_jpegs_keep_their_places_in_a_batch(draw_photo, encode, exif_bytes):
    photos = [draw_photo(5 + n, 9) for n in range(5)]
    batch = [
        encode(photo, "JPEG", **({"exif": exif_bytes(6)} if n % 2 else {}))
        for n, photo in enumerate(photos)
    ]
    expected = np.stack([image_bytes_to_pixels(tf.constant(one), **SIZE) for one in batch])
    np.testing.assert_array_equal(image_batch_to_pixels(tf.constant(batch), **SIZE), expected)


def test_an_empty_batch_gives_no_images():
    assert image_batch_to_pixels(tf.constant([], tf.string), **SIZE).shape == (0, 24, 32, 3)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_image_are_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        image_bytes_to_pixels(tf.constant(data), **SIZE)


def test_a_large_jpeg_looks_the_same_as_when_decoded_whole(encoded_formats):
    data = tf.constant(encoded_formats["jpeg large"])
    shrunk = tf.cast(image_bytes_to_pixels(data, **SIZE), tf.int32)
    whole = tf.cast(resize_image(decode_image(data), **SIZE), tf.int32)
    assert int(tf.reduce_max(tf.abs(shrunk - whole))) <= 24
    assert float(tf.reduce_mean(tf.cast(tf.abs(shrunk - whole), tf.float32))) < 2


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 255))
def test_resizing_keeps_a_flat_image(height, width, level):
    image = tf.fill((height, width, 3), tf.constant(level, tf.uint8))
    resized = resize_image(image, **SIZE)
    assert resized.dtype == tf.uint8
    assert np.unique(resized).tolist() == [level]


def test_resizing_does_not_alias():
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    resized = resize_image(tf.constant(stripes), height_pixels=16, width_pixels=16)
    assert int(np.ptp(resized)) <= 16


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_packing_pixels_loses_nothing(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
    packed = tf.stack([pixels_to_bytes(tf.constant(one)) for one in pixels])
    assert {len(one) for one in packed.numpy()} == {height * width * 3}
    unpacked = bytes_to_pixels(packed, height_pixels=height, width_pixels=width)
    np.testing.assert_array_equal(unpacked, pixels)


def test_scaling_spans_minus_one_to_one():
    scaled = scale_pixels(tf.constant([0, 51, 255], tf.uint8))
    np.testing.assert_allclose(scaled, [-1.0, -0.6, 1.0], atol=1e-6)
