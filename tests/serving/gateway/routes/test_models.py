import time

import pytest

PLAIN = 7


def test_versions_states_and_shares_are_told(seller, draw_photo, encode):
    seller.post("/v1/predict", files={"image": encode(draw_photo(48, 80), "JPEG")})
    deadline = time.monotonic() + 15
    while (answer := seller.get("/v1/models").json())["versions"][0]["share"] == 0:
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)
    assert (answer["name"], answer["label"], answer["breaker"]) == ("loupe", "", "closed")
    (version,) = answer["versions"]
    assert (version["version"], version["state"], version["error"]) == (PLAIN, "AVAILABLE", "")
    assert version["share"] == pytest.approx(1.0)
    assert answer["rules_version"] == 1


def test_a_lost_model_server_is_503(make_gateway):
    gateway = make_gateway(MODEL__GRPC_ADDRESS="127.0.0.1:1", UNSAFE_NO_AUTH="true")
    gateway.start()
    with gateway.client() as client:
        response = client.get("/v1/models")
    assert response.status_code == 503
    assert "127.0.0.1:1" not in response.text  # where things are is nothing for callers
    assert gateway.stop() == 0
