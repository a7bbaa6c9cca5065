import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFilter

from configs.errors import InvalidImageError
from data.quality import measure_quality

PIXELS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)))


def measure(image):
    return measure_quality(np.asarray(image.convert("RGB")))


def bits_apart(one, other):
    return (one.dhash ^ other.dhash).bit_count()


@settings(deadline=None)
@given(PIXELS)
def test_measures_lie_within_their_bounds(pixels):
    measures = measure_quality(pixels)
    assert 0 <= measures.brightness <= 1
    assert 0 <= measures.contrast <= 0.5
    assert measures.sharpness >= 0
    assert 0 <= measures.saturation <= 1
    assert 0 <= measures.dhash < 1 << 64


@pytest.mark.parametrize(("level", "brightness"), [(0, 0.0), (255, 1.0), (51, 0.2)])
def test_a_plain_grey_image_has_brightness_only(level, brightness):
    measures = measure_quality(np.full((30, 40, 3), level, np.uint8))
    assert measures.brightness == pytest.approx(brightness, abs=1e-6)
    assert (measures.contrast, measures.sharpness, measures.saturation) == (0, 0, 0)
    assert measures.dhash == 0


def test_half_black_half_white_has_the_greatest_contrast():
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    assert measure_quality(pixels).contrast == pytest.approx(0.5, abs=0.01)


def test_a_pure_colour_is_saturated():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., 0] = 200
    assert measure_quality(pixels).saturation == 1


def test_hash_bits_run_row_by_row_from_the_left():
    ramp = np.zeros((8, 9, 3), np.uint8)
    ramp[0, 1:] = 200  # rises once: between the first and second cell of the first row
    pixels = np.kron(ramp, np.ones((18, 16, 1), np.uint8))
    assert measure_quality(pixels).dhash == 1 << 63


def test_noise_on_a_plain_area_sets_no_bit():
    noise = np.random.default_rng(0).integers(118, 139, (144, 144, 3), dtype=np.uint8)
    assert measure_quality(noise).dhash == 0


def test_sharpness_is_the_variance_of_the_laplacian():
    rng = np.random.default_rng(0)
    pixels = np.repeat(rng.integers(0, 256, (144, 144, 1), dtype=np.uint8), 3, axis=2)
    luma = pixels[..., 0].astype(np.float64)
    neighbours = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    expected = (neighbours - 4 * luma[1:-1, 1:-1]).var()
    assert measure_quality(pixels).sharpness == pytest.approx(expected, rel=1e-4)


def test_photos_lose_what_is_taken_from_them(real_photos):
    for path in real_photos[:12]:
        image = Image.open(path).convert("RGB")
        plain = measure(image)
        assert measure(image.filter(ImageFilter.GaussianBlur(2))).sharpness < plain.sharpness / 2
        assert measure(image.point(lambda value: value // 2)).brightness < plain.brightness * 0.55
        assert measure(image.convert("L")).saturation == 0


def test_measures_hardly_depend_on_resolution(real_photos):
    for path in real_photos[:12]:
        image = Image.open(path).convert("RGB")
        double = image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC)
        plain, enlarged = measure(image), measure(double)
        assert enlarged.brightness == pytest.approx(plain.brightness, abs=0.01)
        assert enlarged.sharpness == pytest.approx(plain.sharpness, rel=0.6)


def test_hash_survives_recompression_and_resizing(real_photos):
    hashes = []
    for path in real_photos:
        image = Image.open(path).convert("RGB")
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=60)
        smaller = image.resize((image.width * 2 // 3, image.height * 2 // 3))
        plain = measure(image)
        hashes.append(plain)
        assert bits_apart(plain, measure(Image.open(buffer))) <= 5
        assert bits_apart(plain, measure(smaller)) <= 5
    assert min(bits_apart(hashes[0], other) for other in hashes[1:]) > 5


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(InvalidImageError, match=r"expected uint8 \(height, width, 3\)"):
        measure_quality(pixels)


def test_the_gateway_can_import_it_without_tensorflow():
    modules = (
        "data.quality, data.images, data.sources, data.splits, data.duplicates, data.synthetic"
    )
    code = f"import {modules}, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
