"""Bearer tokens: the attacks on JWT, and every claim."""

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from serving.gateway.auth.jwks import KeySet
from serving.gateway.auth.tokens import TokenVerifier
from serving.gateway.errors import UnauthenticatedError
from serving.gateway.scopes import CredentialKind, Scope
from serving.gateway.settings import TokenSettings

ISSUER, AUDIENCE = "https://login.example", "loupe"
SECRET = "a shared secret of more than 32 bytes"


def encode_part(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def make_claims(**changes):
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "seller-7",
        "exp": time.time() + 300,
        "scope": "predict feedback profile",
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


@pytest.fixture
def settings(jwks_file):
    return TokenSettings(issuer=ISSUER, audience=AUDIENCE, algorithm="RS256", jwks_file=jwks_file)


@pytest.fixture
def verifier(settings):
    return TokenVerifier(settings)


@pytest.fixture
def shared():
    return TokenVerifier(
        TokenSettings(issuer=ISSUER, audience=AUDIENCE, algorithm="HS256", shared_secret=SECRET)
    )


@pytest.fixture
def sign(rsa_key):
    def sign(headers=None, **changes):
        return jwt.encode(make_claims(**changes), rsa_key, "RS256", headers or {"kid": "first"})

    return sign


def refuse(verifier, token, reason):
    with pytest.raises(UnauthenticatedError, match=reason) as caught:
        verifier.verify(token)
    assert caught.value.http_status == 401


def test_a_good_token_names_a_caller_and_its_known_scopes(verifier, sign):
    principal = verifier.verify(sign())
    assert principal.key_id == "jwt:seller-7"
    assert principal.kind is CredentialKind.TOKEN
    assert principal.scopes == {Scope.PREDICT, Scope.FEEDBACK}
    assert verifier.verify(sign(scope=["read", 7, "x"])).scopes == {Scope.READ}
    assert verifier.verify(sign(scope=None)).scopes == frozenset()
    assert verifier.verify(sign(aud=["other", AUDIENCE])).key_id == "jwt:seller-7"


def test_a_shared_secret_signs_too(shared):
    token = jwt.encode(make_claims(), SECRET, "HS256")
    assert shared.verify(token).key_id == "jwt:seller-7"
    forged = jwt.encode(make_claims(), "another secret of more than 32 bytes", "HS256")
    refuse(shared, forged, "its signature is wrong")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_no_algorithm_is_no_signature(verifier, shared, algorithm, signature):
    header = {"alg": algorithm, "typ": "JWT", "kid": "first"}
    token = f"{encode_part(header)}.{encode_part(make_claims())}.{signature}"
    refuse(verifier, token, "not accepted")
    refuse(shared, token, "not accepted")


def test_a_public_key_is_no_shared_secret(verifier, public_pem, jwks_file):
    # By hand: the library refuses to sign such a token.
    start = f"{encode_part({'alg': 'HS256', 'kid': 'first'})}.{encode_part(make_claims())}"
    modulus = json.loads(jwks_file.read_text())["keys"][0]["n"].encode()
    for secret in (public_pem, public_pem.strip(), modulus, jwks_file.read_bytes()):
        signature = hmac.digest(secret, start.encode(), hashlib.sha256)
        refuse(verifier, f"{start}.{encode_part(signature)}", "its algorithm is not accepted")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_shared_secret_signs_with_one_algorithm(shared, algorithm):
    secret = SECRET * 2
    both = TokenSettings(issuer=ISSUER, audience=AUDIENCE, algorithm="HS256", shared_secret=secret)
    token = jwt.encode(make_claims(), secret, algorithm)
    refuse(TokenVerifier(both), token, "its algorithm is not accepted")
    TokenVerifier(both).verify(jwt.encode(make_claims(), secret, "HS256"))


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_the_algorithm_is_the_configured_one(verifier, rsa_key, algorithm):
    token = jwt.encode(make_claims(), rsa_key, algorithm, {"kid": "first"})
    refuse(verifier, token, "its algorithm is not accepted")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"iss": None}, "it has no 'iss'"),
        ({"aud": "other"}, "another audience"),
        ({"aud": []}, "it has no 'aud'"),
        ({"aud": None}, "it has no 'aud'"),
        ({"exp": None}, "it has no 'exp'"),
        ({"exp": lambda now: now - 31}, "it has expired"),
        ({"exp": "soon"}, "it cannot be read"),
        ({"exp": float("inf")}, "it cannot be read"),
        ({"nbf": lambda now: now + 300}, "it is not valid yet"),
        ({"sub": None}, "it has no 'sub'"),
        ({"sub": ""}, "its 'sub' is not 1 to 124"),
        ({"sub": "a\0b"}, "its 'sub' is not"),
        ({"sub": "a\nb"}, "its 'sub' is not"),
        ({"sub": "\ud800"}, "its 'sub' is not"),
        ({"sub": "x" * 125}, "its 'sub' is not"),
        ({"scope": {"predict": 1}}, "its 'scope' is neither"),
        ({"scope": 7}, "its 'scope' is neither"),
    ],
)
def test_claims_that_are_missing_or_wrong(verifier, sign, changes, reason):
    # Counted from when the test runs: it may be long after pytest collected it.
    now = time.time()
    claims = {name: value(now) if callable(value) else value for name, value in changes.items()}
    refuse(verifier, sign(**claims), reason)


@pytest.mark.parametrize(
    "payload",
    [make_claims(sub=7), make_claims(iat=float("inf")), b'{"a":' + b"[" * 5000, b"[]", b"\xff"],
)
def test_payloads_that_no_library_would_sign(verifier, rsa_key, payload):
    start = f"{encode_part({'alg': 'RS256', 'kid': 'first'})}.{encode_part(payload)}"
    signature = jwt.get_algorithm_by_name("RS256").sign(start.encode(), rsa_key)
    refuse(verifier, f"{start}.{encode_part(signature)}", "not accepted")


@pytest.mark.parametrize(
    "headers", [{"kid": "second"}, {"kid": ""}, {"kid": "../first"}, {"typ": "JWT"}]
)
def test_unknown_and_missing_kids(verifier, sign, headers):
    refuse(verifier, sign(headers), r"its key \('kid'\) is not known")


def test_a_key_in_the_header_is_not_believed(verifier, make_jwk):
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    headers = {"kid": "first", "jwk": make_jwk(own, "first"), "jku": "http://127.0.0.1/keys"}
    refuse(verifier, jwt.encode(make_claims(), own, "RS256", headers), "its signature is wrong")


def test_headers_that_would_break_a_parser(verifier, sign):
    payload = encode_part(make_claims())
    for header in (b"[" * 5000, b'{"alg":' + b"1" * 5000 + b"}", b"\xff", b"{}", b"[]", b'"x"'):
        refuse(verifier, f"{encode_part(header)}.{payload}.AAAA", "not accepted")
    refuse(verifier, sign() + "A" * 9000, "characters, expected at most 8192")
    refuse(verifier, sign({"kid": "first", "crit": ["exp"]}), "not accepted")


@given(text=st.text(st.characters(max_codepoint=255), max_size=200))
def test_any_text_is_refused_in_the_same_way(text):
    verifier = TokenVerifier(
        TokenSettings(issuer=ISSUER, audience=AUDIENCE, algorithm="HS256", shared_secret=SECRET)
    )
    for token in (text, f"{text}.{text}.{text}", f"{encode_part(text.encode())}.e30.AAAA"):
        refuse(verifier, token, "not accepted")


def replace(file, content):
    temporary = file.with_suffix(".new")
    temporary.write_text(content)
    temporary.replace(file)


def test_a_changed_key_set_is_read_again_and_a_broken_one_is_not(jwks_file, make_jwk, rsa_key):
    keys = KeySet(jwks_file, "RS256", look_seconds=0)
    assert keys.find("second") is None
    both = [make_jwk(rsa_key, "first"), make_jwk(rsa_key, "second")]
    replace(jwks_file, json.dumps({"keys": both}))
    with structlog.testing.capture_logs() as lines:
        assert all(keys.find("second") for _ in range(3))
    assert [line["event"] for line in lines] == ["the key set was read again"]
    for broken in ('{"keys": [', "[]", '{"keys": []}', '{"keys": 7}'):
        replace(jwks_file, broken)
        assert keys.find("second") is not None
    jwks_file.unlink()
    assert keys.find("second") is not None
    replace(jwks_file, json.dumps({"keys": both[1:]}))
    assert keys.find("first") is None
    assert keys.find("second") is not None


def test_the_key_set_is_not_looked_at_for_every_token(jwks_file):
    keys = KeySet(jwks_file, "RS256", look_seconds=3600)
    replace(jwks_file, "{}")
    assert keys.find("first") is not None


def test_keys_of_other_kinds_are_left_out(jwks_file, make_jwk, rsa_key):
    content = [
        make_jwk(rsa_key, "right"),
        make_jwk(rsa_key, "encryption", use="enc"),
        make_jwk(rsa_key, "other", alg="RS512"),
        {"kty": "EC", "kid": "curve", "crv": "P-256"},
        {**make_jwk(rsa_key, "x"), "kid": None},
    ]
    replace(jwks_file, json.dumps({"keys": content}))
    keys = KeySet(jwks_file, "RS256")
    assert [kid for kid in ("right", "encryption", "other", "curve") if keys.find(kid)] == ["right"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[" * 100000, "cannot be read"),
        ('{"keys": []}', "has no key with a 'kid' for RS256"),
        ('{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}', r"key 'a' .* is secret"),
    ],
)
def test_a_key_set_that_cannot_be_used_stops_the_start(settings, jwks_file, content, message):
    if content is None:
        jwks_file.unlink()
    else:
        jwks_file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        TokenVerifier(settings)


def test_a_private_key_in_the_set_stops_the_start(settings, jwks_file, rsa_key):
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key)) | {"kid": "first"}
    jwks_file.write_text(json.dumps({"keys": [private]}))
    with pytest.raises(ConfigError, match="key 'first' .* is secret") as caught:
        TokenVerifier(settings)
    assert private["d"] not in str(caught.value)


def test_a_short_shared_secret_stops_the_start():
    short = TokenSettings(
        issuer=ISSUER, audience=AUDIENCE, algorithm="HS256", shared_secret="hunter2"
    )
    with pytest.raises(ConfigError, match="has 7 bytes, expected at least 32") as caught:
        TokenVerifier(short)
    assert "hunter2" not in str(caught.value)
