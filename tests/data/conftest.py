import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REAL_PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "clothing" / "test"


@pytest.fixture(scope="session")
def real_photos():
    if not REAL_PHOTOS.is_dir():
        pytest.skip(f"real photographs are not at {REAL_PHOTOS}")
    return sorted(REAL_PHOTOS.rglob("*.jpg"))[:60]


@pytest.fixture(scope="session")
def picture():
    rng = np.random.default_rng(3)
    grid = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((80, 60), Image.Resampling.BICUBIC)


@pytest.fixture
def encode(picture):
    def encode(image_format="JPEG", image=picture, **options):
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def grow(tmp_path):
    def grow(*names, content=b"x"):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path

    return grow
