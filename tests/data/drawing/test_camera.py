import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from data.drawing.camera import Camera, write_file
from data.quality import measure_quality

SCENE = np.random.default_rng(1).uniform(0.3, 0.7, (40, 40, 1)).repeat(3, 2).astype(np.float32)
SCENE = np.kron(SCENE, np.ones((4, 4, 1), np.float32))


def take(seed=0, **switches):
    camera = Camera(**{"darkness": 0.0, "blur": 0.0, "new_camera": 0.0, **switches})
    return measure_quality(np.asarray(camera.take(SCENE, np.random.default_rng(seed))))


@pytest.mark.parametrize("seed", range(3))
def test_each_switch_shows_in_its_measure(seed):
    plain = take(seed)
    assert take(seed, darkness=1.0).brightness < 0.3 * plain.brightness
    assert take(seed, blur=1.0).sharpness < 0.1 * plain.sharpness
    assert take(seed, new_camera=1.0).saturation > plain.saturation + 0.1


def test_a_switch_works_by_degrees():
    levels = [take(darkness=darkness).brightness for darkness in (0.0, 0.3, 0.6, 1.0)]
    assert levels == sorted(levels, reverse=True)


def test_files_come_in_both_formats_grey_and_turned():
    picture = Image.fromarray(
        np.arange(80 * 60 * 3, dtype=np.uint32).reshape(60, 80, 3).astype("uint8")
    )
    endings, modes, orientations = set(), set(), set()
    for seed in range(300):
        data, ending = write_file(picture, np.random.default_rng(seed))
        with Image.open(io.BytesIO(data)) as image:
            endings.add((ending, image.format))
            modes.add(image.mode)
            orientations.add(image.getexif().get(0x0112, 1))
            assert ImageOps.exif_transpose(image).size == (80, 60)
    assert endings == {(".jpg", "JPEG"), (".png", "PNG")}
    assert modes == {"RGB", "L"}
    assert orientations == set(range(1, 9))


def test_a_turned_file_shows_the_same_picture():
    ramp = np.linspace(0, 255, 80)[None, :, None] * np.linspace(0.2, 1, 60)[:, None, None]
    picture = Image.fromarray(ramp.repeat(3, 2).astype(np.uint8))
    for seed in range(200):
        data, _ = write_file(picture, np.random.default_rng(seed))
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        difference = np.abs(np.asarray(upright, int) - np.asarray(picture, int))
        assert difference.mean() < 4
