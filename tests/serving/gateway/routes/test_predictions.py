import time

import pytest


def _wait_for_items(client, count):
    deadline = time.monotonic() + 15
    while len(page := client.get("/v1/predictions").json()["items"]) < count:
        assert time.monotonic() < deadline, f"{len(page)} items, expected {count}"
        time.sleep(0.1)
    return page


def test_callers_see_their_own_history_newest_first(make_other, draw_photo, encode):
    photo = encode(draw_photo(48, 80), "JPEG")
    caller, other = make_other("predict", "read", "feedback"), make_other("read")
    ids = [
        caller.post("/v1/predict", files={"image": photo}).json()["request_id"] for _ in range(5)
    ]
    caller.post("/v1/feedback", json={"request_id": ids[4], "label": "cup"})
    page = _wait_for_items(caller, 5)
    assert [item["request_id"] for item in page] == ids[::-1]
    assert [item["feedback"] for item in page] == ["cup", None, None, None, None]
    assert other.get("/v1/predictions").json()["items"] == []


def test_pages_follow_each_other(make_other, draw_photo, encode):
    photo = encode(draw_photo(48, 80), "JPEG")
    caller = make_other("predict", "read")
    ids = [
        caller.post("/v1/predict", files={"image": photo}).json()["request_id"] for _ in range(5)
    ]
    _wait_for_items(caller, 5)
    seen, cursor = [], None
    while True:
        options = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = caller.get("/v1/predictions", params=options).json()
        seen += [item["request_id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"limit": "0"}, 422),
        ({"limit": "1000"}, 422),
        ({"cursor": "' or 1=1 --"}, 400),
        ({"cursor": "x" * 300}, 422),
    ],
)
def test_odd_places_are_refused(seller, options, status):
    response = seller.get("/v1/predictions", params=options)
    assert response.status_code == status, response.text
    assert response.json()["code"] in {"bad_request", "unprocessable"}
