import io

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def client(shared_console):
    client = shared_console.client("admin")
    page = client.get("/console/try").text
    token = page.partition('name="form-token" content="')[2][:64]
    client.headers.update({"x-form-token": token, "accept": "application/json"})
    return client


@pytest.fixture(scope="module")
def draw():
    def draw(colour):
        content = io.BytesIO()
        Image.new("RGB", (64, 64), colour).save(content, "PNG")
        return content.getvalue()

    return draw


def test_a_picture_is_answered(client, draw):
    answer = client.post(
        "/console/try/predict", content=draw("red"), headers={"content-type": "image/png"}
    )
    assert answer.status_code == 200
    assert answer.json()["label"] == "mug"


def test_what_is_no_picture_is_refused_with_its_reason(client):
    answer = client.post(
        "/console/try/predict", content=b"no picture", headers={"content-type": "image/png"}
    )
    assert answer.status_code == 415
    assert answer.json()["code"] == "unsupported_type"
    assert answer.json()["accepted"]


def test_an_overlay_is_a_picture(client, draw):
    answer = client.post(
        "/console/try/explain", content=draw("red"), headers={"content-type": "image/png"}
    )
    assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"request_id": "0" * 32, "label": "mug"}, 404),
        ({"request_id": "../x", "label": "mug"}, 422),
        ({"request_id": "0" * 32, "label": ""}, 422),
        ({}, 422),
    ],
)
def test_feedback_that_fits_nothing_is_refused(client, fields, status):
    assert client.post("/console/try/feedback", json=fields).status_code == status


def test_the_page_offers_feedback_only_to_those_who_may_send_it(shared_console):
    assert 'id="judge"' in shared_console.client("admin").get("/console/try").text
    assert 'id="judge"' not in shared_console.client("reader").get("/console/try").text
