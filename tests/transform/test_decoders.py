import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from transform.decoders import decode_bmp, decode_jpeg, decode_png_or_gif, decode_webp


def test_jpeg_keeps_its_size_by_default(draw_photo, encode):
    data = encode(draw_photo(480, 800), "JPEG")
    assert decode_jpeg(tf.constant(data), min_side_pixels=0).shape == (480, 800, 3)


@pytest.mark.parametrize(
    ("min_side", "expected"), [(481, 480), (240, 240), (121, 240), (120, 120), (60, 60), (1, 60)]
)
def test_jpeg_shrinks_while_its_shorter_side_suffices(min_side, expected, draw_photo, encode):
    data = encode(draw_photo(480, 800), "JPEG")
    assert decode_jpeg(tf.constant(data), min_side_pixels=min_side).shape[0] == expected


def test_sixteen_bit_png_keeps_the_high_byte(encode):
    levels = np.arange(0, 65536, 13, dtype=np.uint16)[:5000].reshape(50, 100)
    image = decode_png_or_gif(tf.constant(encode(Image.fromarray(levels), "PNG")))
    np.testing.assert_array_equal(image[..., 0], levels >> 8)


def test_animated_webp_is_refused(draw_photo, encode):
    # TensorFlow 2.21 writes past its buffer when it decodes one: the process would die here.
    photo = draw_photo(48, 80)
    data = encode(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image file format"):
        decode_webp(tf.constant(data))


@pytest.mark.parametrize("bits", [1, 4, 16])
def test_bmp_of_other_depths_is_refused(bits, draw_photo, encode):
    data = bytearray(encode(draw_photo(48, 80).convert("L"), "BMP"))
    data[28:30] = struct.pack("<H", bits)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image file format"):
        decode_bmp(tf.constant(bytes(data)))


def test_compressed_bmp_is_refused(draw_photo, encode):
    data = bytearray(encode(draw_photo(8, 8).convert("L"), "BMP"))
    data[30:34] = struct.pack("<I", 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image file format"):
        decode_bmp(tf.constant(bytes(data)))


def test_bmp_with_a_short_palette_is_decoded(draw_photo, encode):
    data = encode(draw_photo(16, 16).quantize(8), "BMP")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_bmp(tf.constant(data)), expected)
