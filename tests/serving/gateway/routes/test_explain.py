import io

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def explaining(make_gateway, model_server):
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS=model_server.grpc_address,
        MODEL__NAME="explaining",
        MODEL__TIMEOUT_SECONDS="10",
        DEADLINE_SECONDS="20",
        UNSAFE_NO_AUTH="true",
    )
    gateway.start()
    yield gateway
    gateway.stop()


def test_an_overlay_shows_where_the_heat_is(explaining, draw_photo, encode, exif_bytes):
    photo = encode(draw_photo(300, 800), "JPEG", exif=exif_bytes(6))
    with explaining.client() as client:
        response = client.post("/v1/explain", content=photo, headers={"Content-Type": "image/jpeg"})
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "image/png"
    overlay = Image.open(io.BytesIO(response.content))
    assert overlay.size == (192, 512)  # upright, scaled down
    assert not overlay.info
    assert np.ptp(np.asarray(overlay)) > 100


def test_a_model_that_cannot_explain_says_so(seller, draw_photo, encode):
    response = seller.post("/v1/explain", files={"image": encode(draw_photo(48, 80), "PNG")})
    assert response.status_code == 404
    assert "explain" in response.json()["error"]
    assert response.json()["fix"] == "serve a version that was exported with this signature"
