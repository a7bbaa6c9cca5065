import base64
import sqlite3

import pytest


@pytest.fixture(scope="module")
def photo(draw_photo, encode):
    return encode(draw_photo(48, 80), "JPEG")


@pytest.fixture
def answer(seller, photo):
    return seller.post("/v1/predict", files={"image": photo}).json()


def _select(gateway, query, *values):
    with sqlite3.connect(gateway.folder / "state" / "gateway.db") as database:
        return database.execute(query, values).fetchone()


def test_feedback_right_after_the_answer_is_kept(gateway, seller, answer):
    said = {"request_id": answer["request_id"], "label": answer["label"], "comment": "yes"}
    response = seller.post("/v1/feedback", json=said)
    assert response.status_code == 200, response.text
    assert response.json() == {"request_id": answer["request_id"], "was_right": True}
    query = "select label, comment from feedback where request_id = ?"
    assert _select(gateway, query, answer["request_id"]) == (answer["label"], "yes")


def test_a_complaint_brings_the_picture_to_review(gateway, seller, answer, photo):
    said = {"request_id": answer["request_id"], "label": "cup"}
    said["image"] = base64.b64encode(photo).decode()
    assert not seller.post("/v1/feedback", json=said).json()["was_right"]
    query = "select status, reasons, image from review_items where request_id = ?"
    status, reasons, image = _select(gateway, query, answer["request_id"])
    assert status == "waiting"
    assert "complaint" in reasons
    assert image.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"request_id": "0" * 32}, 404),
        ({"request_id": "../etc/passwd"}, 422),
        ({"label": ""}, 422),
        ({"label": "../../cup"}, 422),
        ({"image": "no base64!"}, 400),
        ({"image": base64.b64encode(b"no image").decode()}, 415),
        ({"other": 1}, 422),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(seller, answer, changes, status):
    said = {"request_id": answer["request_id"], "label": "cup"} | changes
    response = seller.post("/v1/feedback", json=said)
    assert response.status_code == status, response.text
    assert set(response.json()) >= {"error", "code", "request_id"}


def test_nobody_comments_on_predictions_of_others(make_other, answer):
    said = {"request_id": answer["request_id"], "label": "cup"}
    assert make_other("feedback").post("/v1/feedback", json=said).status_code == 404
