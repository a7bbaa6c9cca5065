"""Who may do what in the console, and what other sites may not."""

import dataclasses
import time

import httpx
import pytest

from serving.gateway.auth.dependency import routes_without_rule
from serving.gateway.console.sessions import Sessions
from serving.gateway.console.sign_in_limit import SignInLimit
from serving.gateway.settings import ThrottleSettings

ID = "0" * 32
PAGES = ("try", "review", "versions", "live", "live/now", "drift", "audit", "rules")
ADMIN_PAGES = ("review", "audit", "rules", f"review/{ID}/image")
CHANGES = ("try/predict", "try/explain", "try/feedback", f"review/{ID}", "sign-out", "sign-in")


def find_token(page):
    return page.text.partition('name="form_token" value="')[2][:64]


def test_every_route_has_a_rule(shared_console):
    assert routes_without_rule(shared_console.app) == []


@pytest.mark.parametrize("page", PAGES)
def test_strangers_are_led_to_the_sign_in_page(shared_console, page):
    answer = shared_console.client().get(f"/console/{page}?window=1h")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/sign-in?next=%2Fconsole%2F")


@pytest.mark.parametrize("change", CHANGES[:-1])
def test_strangers_change_nothing(shared_console, change):
    answer = shared_console.client().post(
        f"/console/{change}", headers={"accept": "application/json"}
    )
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"


@pytest.mark.parametrize("key", ["", "lk_0123_wrong", "x" * 9000, "' OR 1=1 --", "<b>"])
def test_a_wrong_key_opens_nothing(shared_console, key):
    client = shared_console.client()
    token = find_token(client.get("/console/sign-in"))
    answer = client.post("/console/sign-in", data={"form_token": token, "key": key})
    assert answer.status_code == 401
    assert "The API key is not known" in answer.text
    assert shared_console.parts.sessions.cookie_name not in client.cookies
    assert key not in answer.text or key in {"", "<b>"}


def test_wrong_keys_are_throttled_and_nobody_is_locked_out(console):
    limit = SignInLimit(ThrottleSettings(sign_in_per_minute=2))
    console.app.state.console = dataclasses.replace(console.parts, sign_in_limit=limit)
    client = console.client()
    form = {"next": "/console/live", "form_token": find_token(client.get("/console/sign-in"))}
    answers = [client.post("/console/sign-in", data=form | {"key": "wrong"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    page = answers[-1]
    assert 28 <= int(page.headers["retry-after"]) <= 30
    assert "Too many sign-ins from your address have failed. Try again in" in page.text
    assert 'name="key"' in page.text
    assert 'value="/console/live"' in page.text
    form["form_token"] = find_token(page)
    answer = client.post("/console/sign-in", data=form | {"key": console.keys["reader"]})
    assert answer.headers["location"] == "/console/live"


def test_signing_in_leads_to_the_page_that_was_asked_for(shared_console):
    client = shared_console.client()
    first = client.get("/console/versions?window=6h")
    form = client.get(first.headers["location"])
    fields = {"next": "/console/versions?window=6h", "key": shared_console.keys["reader"]}
    answer = client.post("/console/sign-in", data=fields | {"form_token": find_token(form)})
    assert answer.headers["location"] == "/console/versions?window=6h"


@pytest.mark.parametrize(
    "path", ["https://evil.example", "//evil.example", "/\\evil.example", "/console/../x", "/v1/x"]
)
def test_signing_in_leads_to_no_other_site(shared_console, path):
    client = shared_console.client()
    token = find_token(client.get("/console/sign-in", params={"next": path}))
    fields = {"next": path, "key": shared_console.keys["admin"], "form_token": token}
    answer = client.post("/console/sign-in", data=fields)
    assert answer.headers["location"] == "/console/try"


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(shared_console):
    client = shared_console.client()
    token = find_token(client.get("/console/sign-in"))
    fields = {"form_token": token, "key": shared_console.keys["admin"]}
    answer = client.post("/console/sign-in", data=fields)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert shared_console.keys["admin"] not in answer.headers["set-cookie"]


def test_nobody_is_signed_in_by_another_site(shared_console):
    """Without the visitor's own token, a forged form could sign them in as its author."""
    fields = {"form_token": "0" * 64, "key": shared_console.keys["admin"]}
    answer = shared_console.client().post("/console/sign-in", data=fields)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("page", ADMIN_PAGES)
def test_pages_for_administrators_are_closed_to_others(shared_console, page):
    answer = shared_console.client("reader").get(f"/console/{page}")
    assert answer.status_code == 403
    assert "This needs the scope admin" in answer.text


def test_a_reader_changes_nothing(shared_console):
    client = shared_console.client("reader")
    token = find_token(client.get("/console/live"))
    answer = client.post(f"/console/review/{ID}", data={"form_token": token, "action": "discard"})
    assert answer.status_code == 403


def test_a_reader_sees_no_links_to_what_is_closed(shared_console):
    page = shared_console.client("reader").get("/console/live").text
    assert 'href="/console/live"' in page
    assert 'href="/console/review"' not in page


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_a_change_needs_the_token_of_its_session(shared_console, change, token):
    client = shared_console.client("admin")
    fields = {"action": "discard", "key": shared_console.keys["reader"]}
    fields |= {} if token is None else {"form_token": token}
    answer = client.post(f"/console/{change}", data=fields)
    assert answer.status_code == 403
    assert "another session" in answer.text


def test_the_token_of_another_session_does_not_count(shared_console):
    mine, other = shared_console.client("admin"), shared_console.client("admin")
    token = find_token(other.get("/console/live"))
    fields = {"form_token": token, "action": "discard"}
    assert mine.post(f"/console/review/{ID}", data=fields).status_code == 403
    assert other.post(f"/console/review/{ID}", data=fields).status_code == 404


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_change_nothing_even_with_a_token(shared_console, site):
    client = shared_console.client("admin")
    fields = {"form_token": find_token(client.get("/console/live")), "action": "discard"}
    headers = {"sec-fetch-site": site}
    answer = client.post(f"/console/review/{ID}", data=fields, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text


def test_a_huge_form_is_refused_before_it_is_read(shared_console):
    client = shared_console.client("admin")
    answer = client.post(f"/console/review/{ID}", data={"label": "x" * 20_000})
    assert answer.status_code == 413


def test_signing_out_ends_the_session(shared_console):
    client = shared_console.client("admin")
    token = find_token(client.get("/console/live"))
    assert client.post("/console/sign-out", data={"form_token": token}).status_code == 303
    assert client.get("/console/live").status_code == 303


@pytest.mark.parametrize("what", ["revoke", "rotate"])
def test_a_session_ends_with_its_key(console, what):
    client = console.client("reader")
    assert client.get("/console/live").status_code == 200
    key_id = console.keys["reader"].split("_")[1]
    change = getattr(console.app.state.key_store, what)
    console.run(change(key_id, actor="tests"))
    deadline = time.monotonic() + 5
    while client.get("/console/live").status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.get("/console/live").status_code == 303
    assert console.client("admin").get("/console/live").status_code == 200


def test_a_forged_session_opens_nothing(shared_console):
    forged = Sessions(b"somebody else's secret, long enough", is_secure=False)
    admin_id = shared_console.keys["admin"].split("_")[1]
    cookies = {forged.cookie_name: forged.make(admin_id, "mark")}
    with httpx.Client(base_url=shared_console.url, cookies=cookies) as client:
        assert client.get("/console/live").status_code == 401


def test_without_authentication_everybody_on_this_machine_is_let_in(development_console):
    with httpx.Client(base_url=development_console.url, follow_redirects=True) as client:
        page = client.get("/console", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "development" in page.text
        token = page.text.partition('name="form_token" value="')[2][:64]
        rebound = client.post(
            "/console/sign-out", data={"form_token": token}, headers={"host": "evil.example"}
        )
        assert rebound.status_code in {401, 403}
