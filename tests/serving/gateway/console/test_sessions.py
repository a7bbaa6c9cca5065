import base64
import datetime
import json

import jwt
import pytest

from serving.gateway.console.sessions import LIFETIME, Session, Sessions

SECRET = b"one secret of the gateway, long enough"
SESSIONS = Sessions(SECRET, is_secure=True)


def read_claims(cookie):
    return jwt.decode(cookie, options={"verify_signature": False})


def test_a_session_is_read_by_every_process_with_the_same_secret():
    session = Sessions(SECRET, is_secure=True).read(SESSIONS.make("lk_1", "mark"))
    assert session == Session(session.session_id, "lk_1", "mark")
    assert len(session.session_id) == 32


def test_a_session_of_another_secret_is_none():
    other = Sessions(b"another secret of another gateway", is_secure=True)
    assert other.read(SESSIONS.make("lk_1", "mark")) is None


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", "\udcff", "e30.e30.", "💥.💥.💥"])
def test_nonsense_is_no_session(cookie):
    assert SESSIONS.read(cookie) is None


def test_a_session_without_a_signature_is_none():
    claims = read_claims(SESSIONS.make("lk_1", "mark"))
    header = {"alg": "none", "typ": "JWT"}
    parts = [
        base64.urlsafe_b64encode(json.dumps(x).encode()).rstrip(b"=") for x in (header, claims)
    ]
    assert SESSIONS.read(b".".join([*parts, b""]).decode()) is None


def test_a_session_with_a_changed_owner_is_none():
    header, _, signature = SESSIONS.make("lk_1", "mark").split(".")
    claims = read_claims(SESSIONS.make("lk_1", "mark")) | {"sub": "lk_admin"}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert SESSIONS.read(f"{header}.{body}.{signature}") is None


def test_a_session_ends(monkeypatch):
    cookie = SESSIONS.make("lk_1", "mark")
    claims = read_claims(cookie)
    assert claims["exp"] - claims["iat"] == LIFETIME.total_seconds()
    past = datetime.datetime.now(datetime.UTC) - LIFETIME - datetime.timedelta(seconds=1)

    class Past(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return past

    monkeypatch.setattr(datetime, "datetime", Past)
    old = SESSIONS.make("lk_1", "mark")
    monkeypatch.undo()
    assert SESSIONS.read(old) is None


def test_form_tokens_belong_to_one_session():
    token = SESSIONS.make_form_token("session one")
    assert SESSIONS.is_form_token("session one", token)
    assert not SESSIONS.is_form_token("session two", token)
    assert not SESSIONS.is_form_token("session one", "")
    assert not SESSIONS.is_form_token("session one", "ünïcode")


def test_secure_cookies_cannot_be_set_by_another_host():
    assert SESSIONS.cookie_name.startswith("__Host-")
    assert SESSIONS.visitor_cookie_name.startswith("__Host-")
    assert not Sessions(SECRET, is_secure=False).cookie_name.startswith("__Host-")
