"""The console of a whole gateway: its process, its model server, a browser."""

import time
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path(__file__).resolve().parents[4] / "build" / "screenshots"
LABELS = {"bag", "hät", "shoe"}
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")


@pytest.fixture(scope="module")
def page(gateway):
    """A page of an administrator; cookies are the ones of production, for HTTPS only."""
    key = gateway.make_key("admin")
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        page = browser.new_page(base_url=gateway.url, viewport={"width": 1280, "height": 860})
        deadline = time.monotonic() + 15
        while page.url.endswith("/console/try") is False:
            assert time.monotonic() < deadline, page.content()
            page.goto("/console/sign-in")
            page.fill("#key", key)
            page.click("button.primary")
        yield page
        browser.close()


@pytest.fixture(scope="module")
def photo(draw_photo, encode):
    return {
        "name": "photo.jpg",
        "mimeType": "image/jpeg",
        "buffer": encode(draw_photo(48, 80), "JPEG"),
    }


def try_photo(page, photo):
    page.goto("/console/try")
    page.set_input_files("#file", photo)
    page.wait_for_selector("#answer-body:not([hidden])")
    return page.text_content("#answer-label"), page.text_content("#answer-request")


def test_the_model_answers_and_its_owner_can_disagree(page, photo):
    label, request_id = try_photo(page, photo)
    assert label in LABELS
    assert len(request_id) == 32
    page.click("#explain")
    page.wait_for_selector("#explain", state="hidden")  # this model has no heat maps
    assert page.is_visible("text=This model has no heat maps.")
    page.click("#judge-wrong")
    options = page.locator("#known-labels option").evaluate_all(
        "all => all.map((one) => one.value)"
    )
    page.fill("#true-label", next(iter(LABELS - {label})))
    page.click("#judge >> text=Send")
    page.wait_for_selector("text=a human will look at it")
    page.screenshot(path=SCREENSHOTS / "real-try.png", full_page=True)
    assert set(options) in ({*()}, LABELS)


def test_a_complaint_is_reviewed_with_the_model_s_classes(page, photo):
    label, request_id = try_photo(page, photo)
    page.click("#judge-wrong")
    page.fill("#true-label", next(iter(LABELS - {label})))
    page.click("#judge >> text=Send")
    page.wait_for_selector("text=a human will look at it")
    skip = 0
    page.goto("/console/review")
    while page.text_content(".review-about code") != request_id:
        skip += 1
        assert skip < int(page.text_content("#num-waiting")), request_id
        page.goto(f"/console/review?skip={skip}")
    assert "its owner disagrees" in page.text_content(".review-about")
    assert page.evaluate("document.getElementById('review-image').naturalWidth") == 80
    choices = page.locator(".choice").evaluate_all("all => all.map((one) => one.value)")
    assert set(choices) == LABELS
    page.keyboard.press("2")
    page.wait_for_selector(f"text=Labelled {choices[1]}")
    page.screenshot(path=SCREENSHOTS / "real-review.png", full_page=True)


def test_the_traffic_and_the_state_of_the_gateway_are_shown(page, photo, gateway):
    try_photo(page, photo)
    page.click("nav >> text=Traffic")
    page.wait_for_selector("tbody th >> text=7")
    assert page.is_visible("text=available")
    page.screenshot(path=SCREENSHOTS / "real-versions.png", full_page=True)
    page.goto("/console/live")
    # The first sample of the counters is taken within seconds.
    page.wait_for_selector("#chart-statuses svg", timeout=20_000)
    assert page.is_visible("text=reachable")
    page.screenshot(path=SCREENSHOTS / "real-live.png", full_page=True)
    page.goto("/console/audit")
    assert page.is_visible("text=key.create")


def test_the_api_and_the_console_keep_their_credentials_apart(gateway, seller_key, page):
    with gateway.client(seller_key) as client:
        answer = client.get("/console/live", headers={"accept": "application/json"})
        assert answer.status_code == 401
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    assert cookies.keys() == {"__Host-loupe_session", "__Host-loupe_visitor"}
    with gateway.client(cookies["__Host-loupe_session"]) as client:
        assert client.get("/v1/models").status_code == 401
