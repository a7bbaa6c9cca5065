"""What must never be in a log."""

import orjson
import pytest

from serving.gateway.auth.keys import make_key
from serving.gateway.observability.redaction import MAX_TEXT_CHARACTERS, redact_event, redact_text

KEY = make_key().text
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"key {KEY}!", f"key lk_{KEY.split('_')[1]}_***!"),
        (f"key {KEY[:-7]}", f"key lk_{KEY.split('_')[1]}_***"),
        (f"token {TOKEN}", "token ***"),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic ***"),
        ("at postgresql+asyncpg://me:hunter2@host/db", "at postgresql+asyncpg://me:***@host/db"),
        ("at redis://:hunter2@host:6379", "at redis://:***@host:6379"),
        (f"bad {bytes(range(256))!r}", "bad <bytes>"),
        ("image " + "iVBORw0KGgo" * 40 + "==", "image <base64>"),
        ("GET http://host:8080/v1 took 3 ms", "GET http://host:8080/v1 took 3 ms"),
    ],
    # The key is another each time, and would be part of the name.
    ids=[
        "key",
        "half a key",
        "token",
        "bearer",
        "basic",
        "database",
        "redis",
        "bytes",
        "base64",
        "harmless",
    ],
)
def test_secrets_and_pictures_in_text(text, shown):
    assert redact_text(text) == shown


@pytest.mark.parametrize("num_words", [2_000, 100_000])
def test_long_text_is_cut_in_the_middle(num_words):
    text = "the start " + "word " * num_words + "the end"
    shown = redact_text(text)
    assert shown.startswith("the start") and shown.endswith("the end")
    assert MAX_TEXT_CHARACTERS <= len(shown) < MAX_TEXT_CHARACTERS + 50


def test_a_cut_leaves_no_half_of_a_secret():
    # Pictures become short, so that what was around them stays.
    text = ("A" * 200 + " ") * 1000
    half = 4 * MAX_TEXT_CHARACTERS
    for secret in (KEY, "x://me:5ec5ec5ec5ec5ec5ec5ec5ec@host"):
        for shift in range(0, len(secret), 3):
            for cut in (half - shift, len(text) - half - shift):
                shown = redact_text(f"{text[:cut]} {secret} {text[cut + len(secret) + 2 :]}")
                assert "5ec5" not in shown


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "x-api-key",
        "api_key",
        "cookie",
        "set-cookie",
        "password",
        "key_secret",
        "csrf_token",
        "credential",
    ],
)
def test_fields_named_like_secrets(name):
    fields = {name: "hunter2", "headers": {name: "hunter2"}, "list": [{name: "hunter2"}]}
    shown = redact_event(None, "", dict(fields))
    assert "hunter2" not in str(shown)
    assert shown == {name: "***", "headers": {name: "***"}, "list": [{name: "***"}]}


def test_what_is_no_secret_stays():
    event = {"key_id": "0123456789ab", "count": 3, "ok": True, "none": None, "seconds": 0.5}
    assert redact_event(None, "", dict(event)) == event


def test_pictures_are_only_counted_however_deep():
    deep = {"a": {"b": {"c": {"d": {"e": {"f": b"picture"}}}}}}
    shown = redact_event(None, "", {"image": b"picture", "more": [bytearray(9)], "deep": deep})
    assert shown["image"] == "<7 bytes>"
    assert shown["more"] == ["<9 bytes>"]
    assert "picture" not in str(shown)
    assert orjson.dumps(shown)


def test_objects_that_hold_secrets_in_their_text():
    class Request:
        def __str__(self):
            return f"Request(key={KEY})"

    assert KEY not in str(redact_event(None, "", {"request": Request(), "all": {Request()}}))
