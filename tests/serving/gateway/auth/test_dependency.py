"""Rules on routes of a real app: every credential on every kind of route."""

import time
from typing import Annotated

import httpx
import jwt
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from serving.gateway.auth.authenticator import Authenticator
from serving.gateway.auth.dependency import (
    GuardedRoute,
    allow_everybody,
    declare_open,
    require,
    routes_without_rule,
    set_authenticator,
)
from serving.gateway.auth.key_ring import KeyRing
from serving.gateway.auth.tokens import TokenVerifier
from serving.gateway.errors import GatewayError
from serving.gateway.scopes import Principal, Scope
from serving.gateway.settings import TokenSettings

ROUTES = [("GET", "/v1/history"), ("POST", "/v1/predict"), ("POST", "/v1/words")]
SECRET = "a shared secret of more than 32 bytes"
TOKENS = TokenSettings(issuer="i", audience="a", algorithm="HS256", shared_secret=SECRET)


class Words(BaseModel):
    word: str


router = APIRouter(prefix="/v1", route_class=GuardedRoute)


@router.get("/history")
@router.post("/predict")
async def predict(principal: Annotated[Principal, Depends(require(Scope.PREDICT))]) -> str:
    return principal.key_id


@router.post("/words", dependencies=[Depends(require(Scope.PREDICT))])
async def words(body: Words) -> str:
    return body.word


@router.get("/health", dependencies=[Depends(allow_everybody)])
async def health() -> str:
    return "ok"


async def answer_error(_request, error):
    return JSONResponse(error.to_body(""), error.http_status, error.headers)


def make_app(authenticator):
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(router)
    app.add_exception_handler(GatewayError, answer_error)
    declare_open(app, "/openapi.json")
    set_authenticator(app, authenticator)
    return app


def make_client(app, base_url="http://localhost:8080"):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)


@pytest.fixture
async def keys(store):
    """Name to text of a key of that kind; all of them known to the ring."""
    made = {scope.value: await store.create(scope, [scope], actor="me") for scope in Scope}
    made["revoked"] = await store.create("revoked", list(Scope), actor="me")
    await store.revoke(made["revoked"].key_id, actor="me")
    return {name: key.text for name, key in made.items()}


@pytest.fixture
async def ring(store, pepper, keys):
    ring = KeyRing(store, pepper)
    await ring.start()
    yield ring
    await ring.stop()


@pytest.fixture
async def client(ring):
    async with make_client(make_app(Authenticator(ring, TokenVerifier(TOKENS)))) as client:
        yield client


def make_token(scope="predict", seconds=60, secret=SECRET):
    claims = {"iss": "i", "aud": "a", "sub": "s", "exp": time.time() + seconds, "scope": scope}
    return jwt.encode(claims, secret, "HS256")


def bearer(credential):
    return [("Authorization", f"Bearer {credential}")]


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_credentials_that_open_nothing(client, keys, method, path):
    key = keys["predict"]
    wrong = key[:-4] + "0000"
    cases = [
        ([], "the request has no credential"),
        (bearer(wrong), "not known"),
        ([("X-API-Key", wrong)], "not known"),
        (bearer(keys["revoked"]), "is revoked"),
        (bearer(make_token(seconds=-60)), "it has expired"),
        (bearer(make_token(secret="0" * 40)), "its signature is wrong"),
        ([*bearer(key), ("X-API-Key", key)], "more than one credential"),
        (bearer(key) + bearer(wrong), "more than one credential"),
        ([("X-API-Key", key), ("X-API-Key", wrong)], "more than one credential"),
        ([("X-API-Key", make_token())], "X-API-Key holds no API key"),
        ([("X-API-Key", "")], "X-API-Key holds no API key"),
        ([("Authorization", f"Basic {key}")], "has not the form 'Bearer <credential>'"),
        ([("Authorization", "Bearer ")], "has not the form"),
        ([("Authorization", key)], "has not the form"),
    ]
    for headers, message in cases:
        answer = await client.request(method, path, headers=headers, content=b"{broken")
        assert answer.status_code == 401, headers
        assert message in answer.json()["error"]
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer realm="loupe"')
        assert ('error="invalid_token"' in challenge) == (
            message not in {cases[0][1], "has not the form"} and "form 'Bearer" not in message
        )
        assert key not in answer.text and wrong not in answer.text


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_key_without_the_scope_is_forbidden(client, keys, method, path):
    for credential in (keys["read"], keys["feedback"], make_token("read"), make_token("")):
        answer = await client.request(method, path, headers=bearer(credential), content=b"{broken")
        assert answer.status_code == 403
        assert "has not the scope 'predict'" in answer.json()["error"]
        assert 'error="insufficient_scope", scope="predict"' in answer.headers["WWW-Authenticate"]
        assert credential not in answer.text


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_credentials_that_open(client, keys, method, path):
    for headers in (
        bearer(keys["predict"]),
        bearer(keys["admin"]),
        bearer(make_token()),
        [("X-API-Key", keys["predict"])],
        [("Authorization", f"bearer   {keys['predict']} ")],
    ):
        answer = await client.request(method, path, headers=headers, json={"word": "hello"})
        assert answer.status_code == 200, headers


@pytest.mark.anyio
async def test_callers_are_who_they_are(client, keys):
    answer = await client.get("/v1/history", headers=bearer(keys["predict"]))
    assert answer.json() == keys["predict"].split("_")[1]
    answer = await client.get("/v1/history", headers=bearer(make_token()))
    assert answer.json() == "jwt:s"
    assert (await client.get("/v1/health")).json() == "ok"


@pytest.mark.anyio
async def test_tokens_are_refused_where_none_are_configured(ring):
    async with make_client(make_app(Authenticator(ring))) as client:
        answer = await client.get("/v1/history", headers=bearer(make_token()))
    assert answer.status_code == 401
    assert "is no API key" in answer.json()["error"]


@pytest.mark.anyio
async def test_strangers_bodies_are_not_read(client, keys):
    sent = []

    async def body():
        for _ in range(100):
            sent.append(1)
            yield b"x" * 1000

    answer = await client.post("/v1/words", content=body(), headers=bearer("lk_wrong"))
    assert (answer.status_code, len(sent)) == (401, 0)


@pytest.mark.anyio
@pytest.mark.parametrize("value", [b"[],", b'{"a":1},'])
async def test_a_body_of_too_many_parts_is_not_parsed(client, keys, value):
    headers = [*bearer(keys["predict"]), ("Content-Type", "application/json")]
    body = b'{"word": "x", "more": [' + value * 10_000 + b"0]}"
    answer = await client.post("/v1/words", content=body, headers=headers)
    assert answer.status_code == 400
    assert "too many parts" in answer.json()["error"]
    answer = await client.post("/v1/words", content=b'{"word": "a, b: c"}', headers=headers)
    assert answer.json() == "a, b: c"


@pytest.mark.anyio
async def test_without_authentication_only_this_machine_is_answered(ring):
    app = make_app(Authenticator(ring, is_off=True))
    for base_url in ("http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080"):
        async with make_client(app, base_url) as client:
            assert (await client.get("/v1/history")).json() == "development"
            own = await client.get("/v1/history", headers={"Origin": base_url})
            assert own.status_code == 200
    async with make_client(app, "http://rebound.example:8080") as client:
        answer = await client.get("/v1/history")
        assert answer.status_code == 403
        assert "the request's Host is not this machine" in answer.json()["error"]
    async with make_client(app) as client:
        for origin in ("https://evil.example", "null", "", "http://localhost.evil.example"):
            answer = await client.post("/v1/predict", headers={"Origin": origin})
            assert answer.status_code == 403, origin
            assert "the request's Origin is not this machine" in answer.json()["error"]


def test_a_forgotten_rule_is_found(tmp_path):
    app = make_app(None)
    assert routes_without_rule(app) == []

    @app.post("/v1/forgotten")
    async def forgotten() -> None: ...

    inner = APIRouter()
    inner.add_api_route("/b", forgotten)
    outer = APIRouter(prefix="/a")
    outer.include_router(inner)
    app.include_router(outer)
    app.mount("/static", StaticFiles(directory=tmp_path))
    found = ["* /static", "GET /a/b", "POST /v1/forgotten"]
    assert routes_without_rule(app) == found
    declare_open(app, "/static")
    assert routes_without_rule(app) == found[1:]


def test_a_rule_behind_another_dependency_counts():
    app = FastAPI(openapi_url=None)

    async def find_history(caller: Annotated[Principal, Depends(require(Scope.READ))]) -> str:
        return caller.key_id

    @app.get("/x", dependencies=[Depends(find_history)])
    async def read() -> None: ...

    assert routes_without_rule(app) == []


def test_a_rule_of_a_whole_router_counts():
    app = FastAPI(openapi_url=None)
    plain = APIRouter()

    @plain.get("/x")
    async def read() -> None: ...

    app.include_router(plain, dependencies=[Depends(require(Scope.ADMIN))])
    assert routes_without_rule(app) == []


def test_openapi_tells_how_to_authenticate():
    document = make_app(None).openapi()
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert schemes["key"]["name"] == "X-API-Key"
    operation = document["paths"]["/v1/predict"]["post"]
    assert operation["security"] == [{"bearer": []}, {"key": []}]
    assert "security" not in document["paths"]["/v1/health"]["get"]
