import base64
import sqlite3
import time

import numpy as np
import pytest

PLAIN = 7


@pytest.fixture(scope="module")
def photo(draw_photo, encode, exif_bytes):
    return encode(draw_photo(48, 80), "JPEG", exif=exif_bytes(6))


@pytest.fixture(scope="module")
def expected(model_folders, photo):
    import tensorflow as tf

    signature = tf.saved_model.load(str(model_folders[PLAIN])).signatures["serving_default"]
    return {name: value.numpy()[0] for name, value in signature(tf.constant([photo])).items()}


def _rows(gateway, request_ids):
    """Rows of the database, once they are there."""
    deadline = time.monotonic() + 15
    marks = ",".join("?" * len(request_ids))
    while True:
        with sqlite3.connect(gateway.folder / "state" / "gateway.db") as database:
            database.row_factory = sqlite3.Row
            rows = database.execute(
                f"select * from predictions where request_id in ({marks})", request_ids
            ).fetchall()
        if len(rows) == len(request_ids) or time.monotonic() > deadline:
            return {row["request_id"]: dict(row) for row in rows}
        time.sleep(0.1)


def _base64(data):
    return base64.b64encode(data).decode()


FORMS = {
    "raw": lambda data: {"content": data, "headers": {"Content-Type": "image/jpeg"}},
    "multipart": lambda data: {"files": {"image": ("photo.jpg", data, "image/jpeg")}},
    "json": lambda data: {"json": {"image": _base64(data)}},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_is_answered_by_the_model(seller, photo, expected, form):
    response = seller.post("/v1/predict", **FORMS[form](photo))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["label"] == expected["label"].decode()
    assert answer["probability"] == pytest.approx(float(expected["probability"]), abs=1e-6)
    top = {entry["label"]: entry["probability"] for entry in answer["top_k"]}
    names = [name.decode() for name in expected["classes"]]
    np.testing.assert_allclose([top[name] for name in names], expected["probabilities"], atol=1e-6)
    assert [*top.values()] == sorted(top.values(), reverse=True)
    assert answer["model_version"] == PLAIN
    assert answer["route"] == "stable"
    assert answer["needs_review"] == bool(expected["needs_review"])
    assert response.headers["X-Request-ID"] == answer["request_id"]
    assert int(response.headers["RateLimit-Remaining"]) > 0


def test_answers_are_recorded_with_what_the_picture_looks_like(
    gateway, seller, seller_key, photo, expected
):
    answer = seller.post("/v1/predict", **FORMS["raw"](photo)).json()
    (row,) = _rows(gateway, [answer["request_id"]]).values()
    assert row["key_id"] == seller_key.split("_")[1]
    assert (row["model_name"], row["model_version"]) == ("loupe", PLAIN)
    assert row["label"] == row["model_label"] == answer["label"]
    assert row["probability"] == pytest.approx(answer["probability"])
    best = np.sort(expected["probabilities"])[::-1]
    assert row["margin"] == pytest.approx(float(best[0] - best[1]), abs=1e-6)
    assert (row["image_format"], row["image_bytes"]) == ("jpeg", len(photo))
    assert (row["image_width"], row["image_height"]) == (80, 48)
    assert 0 < row["image_brightness"] < 1
    assert len(row["image_dhash"]) == 16
    assert 0 < row["model_ms"] < row["latency_ms"]
    assert row["rules_version"] == 1


def test_a_batch_answers_each_picture_or_says_why_not(gateway, seller, photo, encoded_formats):
    pictures = [photo, b"no image", encoded_formats["png colour"]]
    response = seller.post(
        "/v1/predict:batch", json={"images": [_base64(data) for data in pictures]}
    )
    assert response.status_code == 200, response.text
    answer = response.json()
    assert [item["index"] for item in answer["items"]] == [0, 1, 2]
    assert answer["num_errors"] == 1
    first, second, third = answer["items"]
    assert first["error"] is second["result"] is third["error"] is None
    assert second["error"]["code"] == "unsupported_type"
    assert second["error"]["fix"]
    ids = [first["result"]["request_id"], third["result"]["request_id"]]
    assert len({*ids, second["error"]["request_id"]}) == 3
    assert {row["image_format"] for row in _rows(gateway, ids).values()} == {"jpeg", "png"}


def test_one_picture_is_asked_for_and_several_are_refused(seller, photo):
    files = [("image", ("a.jpg", photo)), ("image", ("b.jpg", photo))]
    assert seller.post("/v1/predict", files=files).status_code == 413
    response = seller.post("/v1/predict:batch", files=files)
    assert len(response.json()["items"]) == 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_request"),
        (b"<html></html>", 415, "unsupported_type"),
        (b"\xff\xd8\xff\xe0 cut off", 422, "unprocessable"),
    ],
)
def test_bad_pictures_are_refused_with_reasons(seller, body, status, code):
    response = seller.post("/v1/predict", content=body, headers={"Content-Type": "image/jpeg"})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code)
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert problem["error"]


def test_strangers_are_refused_before_their_body_is_read(gateway):
    with gateway.client() as stranger:
        response = stranger.post("/v1/predict", content=b"x" * 1000)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_keys_without_the_scope_are_refused(gateway, photo):
    with gateway.client(gateway.make_key("read")) as reader:
        deadline = time.monotonic() + 10
        while (response := reader.post("/v1/predict", **FORMS["raw"](photo))).status_code == 401:
            assert time.monotonic() < deadline, "the new key is not known"
            time.sleep(0.1)
    assert response.status_code == 403
    assert response.json()["accepted"] == "predict or admin"


def test_metrics_count_predictions_by_version(gateway, seller, photo):
    seller.post("/v1/predict", **FORMS["raw"](photo))
    text = seller.get("/metrics").text
    assert f'loupe_gateway_prediction_seconds_count{{route="stable",version="{PLAIN}"}}' in text
    assert 'loupe_gateway_model_server_seconds_count{outcome="ok"}' in text
    assert 'loupe_gateway_breaker_state{state="closed"} 1.0' in text


def test_the_throttle_counts_pictures_and_says_when_to_come_back(make_gateway, model_server, photo):
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS=model_server.grpc_address,
        MODEL__TIMEOUT_SECONDS="10",
        THROTTLE__KEY_PER_SECOND="0.1",
        THROTTLE__KEY_BURST="4",
        UNSAFE_NO_AUTH="true",
    )
    gateway.start()
    with gateway.client() as client:
        batch = {"images": [_base64(photo)] * 3}
        response = client.post("/v1/predict:batch", json=batch)
        assert response.status_code == 200, response.text
        assert response.headers["RateLimit-Remaining"] == "1"
        assert client.post("/v1/predict", **FORMS["raw"](photo)).status_code == 200
        refused = client.post("/v1/predict", **FORMS["raw"](photo))
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["RateLimit-Remaining"] == "0"
    assert gateway.stop() == 0
