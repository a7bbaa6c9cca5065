import hashlib
from pathlib import Path

import pytest

from data.examples import decode_example, encode_example, format_dhash
from data.images import ImageProbe
from data.quality import QualityMeasures
from data.sources import ImageFile
from schema import features

FILE = ImageFile(Path("/data/train/Fußball/1.png"), "train/Fußball/1.png", "Fußball", None, 3)
PROBE = ImageProbe("png", height=10, width=20, channels=4, orientation=6, frames=1)
MEASURES = QualityMeasures(0.25, 0.125, 321.5, 0.5, dhash=0xABC)


def test_an_example_holds_exactly_the_contract():
    data = bytes(range(100))
    digest = hashlib.sha256(data).hexdigest()
    example = decode_example(encode_example(FILE, data, PROBE, MEASURES, digest))
    assert example == {
        features.IMAGE_ENCODED: data,
        features.IMAGE_FORMAT: b"png",
        features.IMAGE_HEIGHT: 10,
        features.IMAGE_WIDTH: 20,
        features.IMAGE_CHANNELS: 4,
        features.IMAGE_BYTES_PER_PIXEL: 0.5,
        features.IMAGE_BRIGHTNESS: 0.25,
        features.IMAGE_CONTRAST: 0.125,
        features.IMAGE_SHARPNESS: 321.5,
        features.IMAGE_SATURATION: 0.5,
        features.IMAGE_SHA256: digest.encode(),
        features.IMAGE_DHASH: b"0000000000000abc",
        features.IMAGE_SOURCE: "train/Fußball/1.png".encode(),
        features.SPAN: 3,
        features.LABEL: "Fußball".encode(),
    }


def test_every_feature_of_the_contract_has_its_type():
    example = decode_example(encode_example(FILE, b"x", PROBE, MEASURES, "0" * 64))
    for keys, kind in (
        (features.INT_FEATURES, int),
        (features.FLOAT_FEATURES, float),
        (features.BYTES_FEATURES, bytes),
    ):
        assert {type(example[key]) for key in keys} == {kind}


@pytest.mark.parametrize(("dhash", "text"), [(0, "0" * 16), ((1 << 64) - 1, "f" * 16)])
def test_a_hash_has_sixteen_digits(dhash, text):
    assert format_dhash(dhash) == text
