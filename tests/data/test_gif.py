import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.gif import GifHeader, read_gif_header


def write_gif(num_frames, size=(9, 7)):
    frames = [Image.effect_noise(size, 10 + 30 * number) for number in range(num_frames)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], comment=b"c" * 700)
    return buffer.getvalue()


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_size_and_frames_are_those_that_pillow_finds(num_frames):
    data = write_gif(num_frames)
    with Image.open(io.BytesIO(data)) as image:
        assert read_gif_header(data) == GifHeader(*image.size, image.n_frames)
    assert read_gif_header(data) == GifHeader(9, 7, num_frames)


def test_a_first_frame_beyond_the_screen_counts_in_full():
    frame = b"\x2c" + struct.pack("<HHHHB", 10, 20, 13_000, 13_000, 0) + b"\x02\x01\x00\x00;"
    data = b"GIF89a" + struct.pack("<HHBBB", 5, 5, 0, 0, 0) + frame
    assert read_gif_header(data) == GifHeader(13_010, 13_020, 1)


def test_a_gif_without_a_frame_is_an_error():
    with pytest.raises(ValueError, match="it holds no picture"):
        read_gif_header(b"GIF89a" + struct.pack("<HHBBB", 5, 5, 0, 0, 0) + b";")


@pytest.mark.parametrize("length", [6, 10])
def test_a_gif_that_ends_inside_a_header_is_an_error(length):
    with pytest.raises(struct.error):
        read_gif_header(write_gif(1)[:length])


@given(st.binary(max_size=300))
def test_any_bytes_end_the_walk(data):
    header = b"GIF89a" + struct.pack("<HHBBB", 5, 5, 0, 0, 0)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 5, 5, 0) + b"\x02\x01\x00\x00"
    try:
        frames = read_gif_header(header + frame + data).frames
    except struct.error:
        frames = 1
    assert frames >= 1
