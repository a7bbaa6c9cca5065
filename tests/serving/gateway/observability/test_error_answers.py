"""Every error has one form, and tells nothing from inside."""

import httpx
import pytest
from starlette.exceptions import HTTPException

from configs import errors as pipeline_errors
from configs.errors import PipelineError
from serving.gateway import errors as gateway_errors
from serving.gateway.errors import GatewayError
from serving.gateway.observability.error_answers import to_gateway_error


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code", "text"),
    [
        ("GET", "/v1/errors/throttled", b"", 429, "throttled", "too fast."),
        ("GET", "/v1/errors/image", b"", 400, "bad_request", "image 'x' is broken."),
        ("GET", "/v1/errors/not_ready", b"", 503, "upstream", "model 'x' is loading."),
        ("GET", "/v1/errors/upstream", b"", 502, "upstream", "the server said no."),
        ("GET", "/v1/errors/surrogate", b"", 429, "throttled", "bad ? text."),
        ("GET", "/v1/errors/bug", b"", 500, "internal", "could not be answered"),
        ("GET", "/nothing", b"", 404, "not_found", "there is nothing at this path."),
        ("GET", "/v1/words", b"", 405, "method_not_allowed", "does not have this method"),
        ("POST", "/v1/words", b"", 422, "unprocessable", "body: Field required"),
        ("POST", "/v1/words", b"{", 400, "bad_request", "the body is not JSON."),
        ("POST", "/v1/words", b'{"word": "a"}', 422, "unprocessable", "body.word: String should"),
        ("POST", "/v1/words", b'{"word": "aa", "x": 1}', 422, "unprocessable", "body.x: Extra"),
        ("POST", "/v1/words", b"\xff", 400, "bad_request", ""),
        ("POST", "/v1/words", b"[" * 9000, 400, "bad_request", ""),
    ],
)
def test_errors_have_one_form(served, method, path, content, status, code, text):
    answer = httpx.request(
        method, served.url + path, content=content, headers={"Content-Type": "application/json"}
    )
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert text in body["error"]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-ID"] == body["request_id"]
    assert served.access()[0]["code"] == code
    assert served.metrics.read("errors_total", code=code) == 1


def test_details_and_headers_of_errors_arrive(served):
    answer = httpx.get(f"{served.url}/v1/errors/throttled")
    assert answer.json() | {"request_id": ""} == {
        "error": "too fast.",
        "code": "throttled",
        "request_id": "",
        "got": "9",
        "fix": "Wait.",
    }
    assert answer.headers["Retry-After"] == "3"
    assert httpx.get(f"{served.url}/v1/words").headers["Allow"] == "POST"


def test_a_bug_is_told_to_the_log_only(served):
    answer = httpx.get(f"{served.url}/v1/errors/bug")
    assert "ZeroDivision" not in answer.text
    (line,) = [line for line in served.lines() if line["level"] == "error"]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert "ZeroDivisionError: 1/0 with lk_0123456789ab_***" in line["exception"]


def test_values_that_callers_sent_are_not_repeated(served):
    for content in (b'{"word": 77777777}', b'{"word": ["hunter2"]}', b'{"hunter2'):
        answer = httpx.post(
            f"{served.url}/v1/words",
            content=content,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code in {400, 422}
        assert "hunter2" not in answer.text and "7777" not in answer.text


def test_names_that_callers_send_are_cut(served):
    answer = httpx.post(f"{served.url}/v1/words", json={"x" * 5000: 1, "word": "aa"})
    assert answer.status_code == 422
    assert len(answer.text) < 1500


def all_errors(module):
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, PipelineError)
    ]


@pytest.mark.parametrize("kind", [*all_errors(pipeline_errors), *all_errors(gateway_errors)])
def test_every_error_of_ours_keeps_its_status(kind):
    known = to_gateway_error(kind("a sentence."))
    assert known.http_status == kind.http_status
    inside = kind.http_status == 500 and not issubclass(kind, GatewayError)
    assert (known.message == "a sentence.") != inside


@pytest.mark.parametrize("status", [400, 401, 403, 413, 415, 418, 422, 426, 503])
def test_every_error_of_the_framework_keeps_its_status(status):
    known = to_gateway_error(HTTPException(status, "Reason", {"X-A": "b"}))
    assert (known.http_status, known.message) == (status, "Reason.")
    assert known.headers == {"X-A": "b"}
    assert known.code
