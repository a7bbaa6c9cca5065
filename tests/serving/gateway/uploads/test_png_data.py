import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.uploads.layouts import read_layout
from serving.gateway.uploads.png_data import are_sums_right, inflated_bytes, promised_bytes

# The pass of each pixel of an 8x8 block, as the standard prints it.
PASSES = np.array([
    [1, 6, 4, 6, 2, 6, 4, 6],
    [7, 7, 7, 7, 7, 7, 7, 7],
    [5, 6, 5, 6, 5, 6, 5, 6],
    [7, 7, 7, 7, 7, 7, 7, 7],
    [3, 6, 4, 6, 3, 6, 4, 6],
    [7, 7, 7, 7, 7, 7, 7, 7],
    [5, 6, 5, 6, 5, 6, 5, 6],
    [7, 7, 7, 7, 7, 7, 7, 7],
])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_what_the_header_promises_is_what_comes_out(makers, mode):
    image = makers.photo(37, 11).convert("L" if mode == "I;16" else mode)
    data = makers.encode("png", image.convert(mode))
    promised = promised_bytes(data)
    assert inflated_bytes(data, read_layout(data, "png").pixels, most=promised) == promised


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([(1, 0), (2, 0), (4, 3), (8, 2), (8, 4), (16, 6), (16, 0)]),
)
def test_interlaced_pictures_are_added_up_pass_by_pass(makers, width, height, kind):
    depth, colour = kind
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = np.tile(PASSES, (5, 5))[:height, :width]
    expected = 0
    for number in range(1, 8):
        counts = (passes == number).sum(axis=1)
        expected += sum(1 + (int(count) * bits + 7) // 8 for count in counts if count)
    data = makers.png(width, height, b"", depth=depth, colour=colour, interlace=1)
    assert promised_bytes(data) == expected


def test_pixels_in_many_chunks_are_one_stream(makers):
    stream = zlib.compress(np.random.default_rng(1).bytes(10_000))
    spans, data = [], b""
    for start in range(0, len(stream), 7):
        spans.append((len(data) + 1, len(data) + 1 + len(stream[start : start + 7])))
        data += b"|" + stream[start : start + 7]
    assert inflated_bytes(data, spans, most=20_000) == 10_000


def test_counting_stops_soon_after_the_most():
    data = zlib.compress(bytes(50_000_000), 9)
    assert 100 < inflated_bytes(data, [(0, len(data))], most=100) < 1_000_000
    assert inflated_bytes(data, [(0, len(data))], most=60_000_000) == 50_000_000


def test_the_sums_of_the_pixels_and_of_the_end_are_checked(makers):
    data = makers.encode("png")
    layout = read_layout(data, "png")
    assert are_sums_right(data, layout.pixels, layout.end)
    for place in (*range(-16, -12), *range(-4, 0)):
        changed = bytearray(data)
        changed[place] ^= 1
        assert not are_sums_right(bytes(changed), layout.pixels, layout.end)


def test_damaged_data_raises():
    with pytest.raises(zlib.error):
        inflated_bytes(b"damaged", [(0, 7)], most=100)
