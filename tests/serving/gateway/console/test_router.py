"""What every page of the console keeps to."""

import re

import pytest

from serving.gateway.console.assets import read_assets

PAGES = ("try", "review", "versions", "live", "live/now", "drift", "audit", "rules", "nowhere")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_a_strict_policy_and_nothing_inline(shared_console, page):
    answer = shared_console.client("admin").get(f"/console/{page}")
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert not re.search(r"<script(?![^>]* src=)", answer.text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", answer.text)
    assert not re.search(r"(?:src|href|action)=.(?:https?:)?//", answer.text)


def test_errors_of_the_console_are_pages_with_the_same_policy(shared_console):
    answer = shared_console.client("admin").get("/console/<script>alert(1)</script>")
    assert answer.status_code == 404
    assert answer.headers["content-security-policy"] == POLICY
    assert "<script>alert" not in answer.text
    assert "There is no page" in answer.text


def test_programs_get_errors_as_json(shared_console):
    client = shared_console.client("admin")
    answer = client.get("/console/nowhere", headers={"accept": "application/json"})
    assert answer.json()["code"] == "not_found"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_static_files_are_kept_for_ever_under_the_name_of_their_content(shared_console):
    assets = read_assets()
    client = shared_console.client()
    for name, asset in assets.files.items():
        answer = client.get(f"/console/static/{assets.fingerprint}/{name}")
        assert answer.content == asset.content
        assert answer.headers["content-type"] == asset.content_type
        assert "immutable" in answer.headers["cache-control"]
    assert client.get(f"/console/static/{'0' * 16}/base.css").status_code == 404


@pytest.mark.parametrize(
    "name", ["../router.py", "..%2frouter.py", "%2e%2e/router.py", "....//router.py", "x.css%00"]
)
def test_nothing_else_is_a_static_file(shared_console, name):
    answer = shared_console.client().get(f"/console/static/{read_assets().fingerprint}/{name}")
    assert answer.status_code == 404
    assert b"APIRouter" not in answer.content


def test_every_file_that_scripts_import_is_there():
    assets = read_assets()
    for name, asset in assets.files.items():
        if name.endswith(".js"):
            for imported in re.findall(r'from "\./([^"]+)"', asset.content.decode()):
                assert imported in assets.files, f"{name} imports {imported}"


def test_the_first_page_is_one_that_the_viewer_may_see(shared_console):
    assert shared_console.client("admin").get("/console").headers["location"] == "/console/try"
    assert shared_console.client("admin").get("/console/").headers["location"] == "/console/try"
    viewer = shared_console.client("viewer")
    assert viewer.get("/console").headers["location"] == "/console/versions"
