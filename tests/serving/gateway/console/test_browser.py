"""A person with a browser: every page is clicked through, in light, in dark and on a phone."""

import base64
import contextlib
from pathlib import Path

import pytest

from serving.gateway.database.engine import writing
from serving.gateway.database.predictions import write_records

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path(__file__).resolve().parents[4] / "build" / "screenshots"
HOSTILE_NAME = "<img src=x onerror=document.title='owned'>.png"
HOSTILE_LABEL = "<script>document.title='owned'</script>"
PAGES = ("try", "review", "versions", "live", "drift", "rules", "audit", "nowhere")
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 780}, "has_touch": True, "is_mobile": True},
}
ARGUMENTS = (
    "--no-sandbox",  # tests run as root in containers, where Chromium's own sandbox cannot start
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
CHECKS = Path(__file__).with_name("page_checks.js").read_text()
FIND_LOW_CONTRAST = f"{CHECKS}.findLowContrast()"
FIND_NAMELESS = f"{CHECKS}.findNameless()"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Function of a console to a page of somebody signed in; nothing may go wrong in it."""
    with contextlib.ExitStack() as stack:
        problems = []

        def open_page(console, key_name="admin", **options):
            context = browser.new_context(base_url=console.url, **(LOOKS["light"] | options))
            stack.callback(context.close)
            page = context.new_page()
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on(
                "console", lambda line: problems.append(line.text) if is_problem(line) else None
            )
            page.on("request", lambda request: check_address(console, request, problems))
            page.goto("/console/sign-in")
            page.fill("#key", console.keys[key_name])
            page.click("text=Sign in >> nth=-1")
            page.wait_for_url("**/console/try")
            return page

        yield open_page
        assert problems == []


def is_problem(line):
    # A page that does not exist, and a picture that is refused, are said to be errors too.
    return line.type in {"error", "warning"} and "status of 4" not in line.text


def check_address(console, request, problems):
    if not request.url.startswith((console.url, "blob:", "data:")):
        problems.append(f"asked another site: {request.url}")


@pytest.fixture
def picture(draw_picture, tmp_path):
    file = tmp_path / HOSTILE_NAME
    file.write_bytes(draw_picture("#b5482f", side=300))
    return file


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_can_be_read_and_fits(shared_console, open_page, look):
    page = open_page(shared_console, **LOOKS[look])
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        page.goto(f"/console/{name}")
        page.screenshot(path=SCREENSHOTS / f"{name}-{look}.png", full_page=True)
        assert page.evaluate(FIND_LOW_CONTRAST) == [], f"{name}, {look}"
        assert page.evaluate(FIND_NAMELESS) == [], f"{name}, {look}"
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= LOOKS[look]["viewport"]["width"], f"{name}, {look}"
        assert page.title().endswith("Loupe")


@pytest.mark.parametrize("look", LOOKS)
def test_try_a_picture(shared_console, open_page, picture, look):
    page = open_page(shared_console, **LOOKS[look])
    page.set_input_files("#file", picture)
    page.wait_for_selector("#answer-body:not([hidden])")
    assert page.text_content("#answer-label") == "mug"
    assert page.locator("#answer-bars li").count() == 5
    assert page.text_content("#file-name") == HOSTILE_NAME
    inner = page.locator(".picture").bounding_box()["width"]
    assert page.locator("#drop").bounding_box()["width"] < inner  # a long name widens nothing
    assert "goes to review" in page.text_content("#answer-badges")
    page.click("#explain")
    page.wait_for_selector("#overlay:not([hidden])")
    page.click("#explain")
    assert page.is_visible("#preview")
    page.click("#judge-wrong")
    page.screenshot(path=SCREENSHOTS / f"answer-{look}.png", full_page=True)
    assert page.evaluate(FIND_LOW_CONTRAST) == []
    page.fill("#true-label", "teapot")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=a human will look at it")
    assert "Loupe" in page.title()


def test_a_hostile_label_stays_text(shared_console, open_page, draw_picture):
    page = open_page(shared_console)
    green = {"name": "a.png", "mimeType": "image/png", "buffer": draw_picture("#10c030")}
    page.set_input_files("#file", green)
    page.wait_for_selector("#answer-body:not([hidden])")
    assert page.text_content("#answer-label") == HOSTILE_LABEL
    for path in ("/console/review?skip=0", "/console/versions", "/console/audit"):
        page.goto(path)
        assert "owned" not in page.title()


def test_what_is_no_picture_is_explained(shared_console, open_page):
    page = open_page(shared_console)
    text = {"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture at all"}
    page.set_input_files("#file", text)
    page.wait_for_selector("#answer-error:not([hidden])")
    assert page.text_content("#error-title")
    assert "jpeg" in page.text_content("#error-accepted").lower()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_can_be_dropped_and_pasted(shared_console, open_page, draw_picture, way):
    page = open_page(shared_console)
    content = base64.b64encode(draw_picture("#b5482f")).decode()
    page.evaluate(
        """([content, way]) => {
          const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], "a.png", { type: "image/png" }));
          document.dispatchEvent(way === "drop"
            ? new DragEvent("drop", { dataTransfer: data, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data, cancelable: true }));
        }""",
        [content, way],
    )
    page.wait_for_selector("#answer-body:not([hidden])")
    assert page.text_content("#answer-label") == "mug"


def test_a_picture_can_be_taken_with_the_camera(shared_console, open_page):
    page = open_page(shared_console)
    page.click("#open-camera")
    page.wait_for_selector("#camera-shoot:not([disabled])")
    page.screenshot(path=SCREENSHOTS / "camera-light.png")
    page.click("#camera-shoot")
    page.wait_for_selector("#answer-body:not([hidden])")
    assert page.text_content("#file-name") == "camera.jpg"
    assert not page.is_visible("#camera")


def test_review_by_keys_alone(console, open_page):
    page = open_page(console)
    page.goto("/console/review")
    waiting = int(page.text_content("#num-waiting"))
    first = page.get_attribute("#review-image", "src")
    page.keyboard.press("6")
    page.wait_for_selector("text=Labelled teapot")
    assert page.text_content("#num-waiting") == str(waiting - 1)
    assert page.get_attribute("#review-image", "src") != first
    page.screenshot(path=SCREENSHOTS / "review-undo-light.png", full_page=True)
    page.keyboard.press("u")
    page.wait_for_selector("text=Labelled teapot", state="detached")
    assert page.get_attribute("#review-image", "src") == first
    guess = page.text_content("[data-guess] bdi")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"text=Labelled {guess}")
    page.keyboard.press("x")
    page.wait_for_selector("text=Discarded")
    assert page.text_content("#num-waiting") == str(waiting - 2)
    page.keyboard.press("s")
    page.wait_for_url("**/console/review?skip=1")
    assert page.text_content("#num-waiting") == str(waiting - 2)


def test_keys_that_are_typed_into_a_field_decide_nothing(console, open_page):
    page = open_page(console)
    page.goto("/console/review")
    waiting = page.text_content("#num-waiting")
    page.click("#other-label")
    page.keyboard.type("soup tureen 1x")
    assert page.input_value("#other-label") == "soup tureen 1x"
    assert page.text_content("#num-waiting") == waiting
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Labelled soup tureen 1x")


def test_a_picture_that_is_gone_is_said_to_be(console, open_page):
    page = open_page(console)
    for skip in range(20):
        page.goto(f"/console/review?skip={skip}")
        page.wait_for_function("() => document.getElementById('review-image').complete", polling=50)
        if page.is_visible("#image-gone"):
            break
    assert page.is_visible("text=not kept any more")


def test_versions_from_the_navigation(shared_console, open_page):
    page = open_page(shared_console, "reader")
    page.click("nav >> text=Traffic")
    page.wait_for_url("**/console/versions")
    assert page.locator("tbody tr th >> text=1795268425").count() == 1
    assert page.is_visible("text=fallback model")
    page.click("text=6h")
    page.wait_for_url("**/console/versions?window=6h")
    page.hover("#chart-traffic .canvas", position={"x": 700, "y": 80})
    assert "1795268425" in page.text_content("#chart-traffic .tip")
    page.click("#chart-traffic summary")
    assert page.locator("#chart-traffic tbody tr").count() == 72


def test_live_numbers_move_until_they_are_paused(console, open_page, make_record):
    page = open_page(console, "reader")
    page.goto("/console/live")
    answers = ".tile >> nth=0 >> .tile-value"
    before = page.text_content(answers)
    page.click("#chart-latency summary")

    async def write():
        async with writing(console.parts.engine) as session:
            await write_records(session, [make_record() for _ in range(50)])

    console.run(write())
    page.wait_for_function(
        "before => document.querySelector('.tile-value').textContent !== before", arg=before
    )
    assert page.locator("#chart-latency details[open]").count() == 1
    page.click("#pause")
    assert page.get_attribute("#pause", "aria-pressed") == "true"


def test_the_console_works_without_scripts(console, open_page):
    page = open_page(console, java_script_enabled=False)
    page.goto("/console/review")
    page.click("button:has-text('teapot')")
    page.wait_for_selector("text=Labelled teapot")
    page.click("text=Undo")
    assert not page.is_visible("text=Labelled teapot")
    page.goto("/console/live")
    assert page.locator("figure svg").count() >= 4


def test_the_keyboard_shows_where_it_is(shared_console, open_page):
    page = open_page(shared_console)
    page.keyboard.press("Tab")
    assert page.text_content(":focus") == "Skip to content"
    for _ in range(4):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", page.evaluate("document.activeElement.outerHTML")
