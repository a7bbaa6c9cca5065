"""The REST API of a real server process."""

import base64
import gzip
import http.client
import json
import math
import socket
import time

import pytest

HALF = "/v1/models/half:predict"
ZOO = "/v1/models/zoo:predict"
QUICK_SECONDS = 2.0


def zoo(signature, **body):
    return {"signature_name": signature, **body}


def test_status_lists_newest_version_first_and_a_label_names_one(server):
    _, status = server.get("/v1/models/labelled")
    assert [entry["version"] for entry in status["model_version_status"]] == ["2", "1"]
    _, status = server.get("/v1/models/labelled/labels/stable")
    assert [entry["version"] for entry in status["model_version_status"]] == ["1"]


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/models/nobody", 404, "Could not find any versions of model nobody"),
        ("/v1/models/half/versions/9", 404, "Could not find version 9 of model half"),
        ("/v1/models/half/labels/x", 400, "Unrecognized servable version label: x"),
        ("/v1/models/half/versions/x", 400, "Malformed request: GET /v1/models/half/versions/x"),
        ("/v1/models/half/metadata?a", 400, "Malformed request: GET /v1/models/half/metadata?a"),
        ("/v1/models/half?a", 404, "Could not find any versions of model half?a"),
        (
            "/v1/models/half/versions/9223372036854775808",
            400,
            "Failed to convert version: 9223372036854775808 to numeric.",
        ),
        ("/v1/models/no%2Fbody/metadata", 404, "Servable not found for request: Latest(no/body)"),
    ],
)
def test_get_errors(server, path, code, message):
    assert server.get(path) == (code, {"error": message})


def test_fixed_parts_of_a_path_match_in_any_case_but_the_verb_does_not(server):
    assert server.get("/V1/MODELS/half")[0] == 200
    status, body = server.post("/v1/models/half:PREDICT", {"instances": [1]})
    assert (status, body["error"]) == (400, "Malformed request: POST /v1/models/half:PREDICT")


def test_paths_outside_v1_are_not_json(server):
    status, headers, _ = server.request("GET", "/elsewhere")
    assert (status, headers["Content-Type"]) == (404, "text/html")
    assert server.request("DELETE", "/v1/models/half")[0] == 400


def test_nan_and_infinity_are_bare_tokens_both_ways(server):
    request = b'{"signature_name": "inverse", "instances": [0, -0.0, NaN, Infinity, 2]} tail'
    status, _, body = server.request("POST", ZOO, request)
    assert (status, body) == (200, b'{"predictions":[Infinity,-Infinity,NaN,0.0,0.5]}')
    assert math.isnan(json.loads(body)["predictions"][2])


BROKEN = {
    "empty body": (HALF, b"", "JSON Parse error: The document is empty"),
    "broken JSON": (HALF, b'{"instances": [1,}', "JSON Parse error: Invalid value. at offset: 17"),
    "not UTF-8": (HALF, b'{"\xff": 1}', "JSON Parse error: Invalid encoding in string. at"),
    "deep": (HALF, b"[" * 200_000, "JSON Parse error: Invalid value."),
    "deep instances": (
        HALF,
        b'{"instances": ' + b"[" * 400 + b"]" * 400 + b"}",
        "nested deeper than 254",
    ),
    "half a surrogate pair": (
        HALF,
        b'{"signature_name": "\\ud800", "inputs": 1}',
        "JSON Parse error: The surrogate pair in string is invalid.",
    ),
    "not an object": (HALF, b"[1]", "JSON Value: [1] Is not object"),
    "no key": (HALF, b"{}", "Missing 'inputs' or 'instances' key"),
    "both keys": (HALF, b'{"inputs": 1, "instances": [1]}', "expecting only one of"),
    "instances no list": (HALF, b'{"instances": 1}', "Expecting 'instances' to be an list/array"),
    "no instances": (HALF, b'{"instances": []}', "No values in 'instances' array"),
    "signature type": (HALF, b'{"signature_name": 1}', "'signature_name' key must be a string"),
    "signature": (
        HALF,
        b'{"signature_name": "x", "inputs": 1}',
        'Serving signature name: "x" not found in signature def',
    ),
    "wrong type": (
        HALF,
        b'{"instances": [1, "a"]}',
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        'JSON Value: "a" Type: String is not of expected type: float',
    ),
    "bool among numbers": (HALF, b'{"instances": [1, true]}', "Type: True is not of expected type"),
    "null": (HALF, b'{"inputs": [null]}', "JSON Value: null Type: Null is not of expected"),
    "ragged": (
        HALF,
        b'{"instances": [[1, 2], [3]]}',
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting tensor size: 2 but got: 1",
    ),
    "other shape": (
        HALF,
        b'{"instances": [[[1, 2]], [[1], [2]]]}',
        "Expecting shape [1,2] but got: [2,1]",
    ),
    "ragged column": (
        HALF,
        b'{"inputs": [[1, 2], [3]]}',
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    "value above its level": (
        HALF,
        b'{"inputs": [[1], 2]}',
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    "list below its level": (
        HALF,
        b'{"inputs": [1, [2]]}',
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    "mixed forms": (
        HALF,
        b'{"instances": [1, {"x": 2}]}',
        "Expecting value/list but got object at item 1 of input list",
    ),
    "other input": (
        HALF,
        b'{"instances": [{"z": 2}]}',
        "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: z",
    ),
    "missing input": (
        ZOO,
        b'{"signature_name": "pair", "inputs": {"a": [1]}}',
        "Missing named input: b in 'inputs' object.",
    ),
    "missing key": (
        ZOO,
        b'{"signature_name": "pair", "instances": [{"a": 1}]}',
        "keys must be equal to: a,b",
    ),
    "plain for several": (
        ZOO,
        b'{"signature_name": "pair", "instances": [1]}',
        "instances is a plain list, but expecting list of objects",
    ),
    "plain column for several": (
        ZOO,
        b'{"signature_name": "pair", "inputs": [1]}',
        "inputs is a plain value/list, but expecting an object",
    ),
    "float for int": (
        ZOO,
        b'{"signature_name": "fail", "inputs": [1.0]}',
        "JSON Value: 1.0 Type: Number is not of expected type: int32",
    ),
    "too large int": (
        ZOO,
        b'{"signature_name": "fail", "inputs": [3000000000]}',
        "is not of expected type: int32",
    ),
    "bad base64": (
        ZOO,
        b'{"signature_name": "image", "inputs": [{"b64": "a*b"}]}',
        "Unable to base64 decode",
    ),
    "not base64 object": (
        ZOO,
        b'{"signature_name": "image", "inputs": [{"b64": "", "x": 1}]}',
        "not formatted correctly for base64 data",
    ),
    "uneven outputs": (
        ZOO,
        b'{"signature_name": "uneven", "instances": [1]}',
        "Tensor name: two has inconsistent batch size: 2 expecting: 1",
    ),
    "op": (
        ZOO,
        b'{"signature_name": "fail", "inputs": [2]}',
        "assertion failed: [n must be one]",
    ),
    "rank": (ZOO, b'{"instances": [1, 2]}', "Invalid reduction dimension"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_requests_get_400_and_a_reason(server, case):
    path, body, message = BROKEN[case]
    started = time.monotonic()
    status, reply = server.post(path, body)
    assert time.monotonic() - started < QUICK_SECONDS
    assert status == 400
    assert message in reply["error"]
    assert server.post(HALF, {"instances": [1.0]}) == (200, {"predictions": [2.5]})


def test_outputs_of_unequal_length_have_a_column_form(server):
    status, reply = server.post(ZOO, zoo("uneven", inputs=1.0))
    assert (status, reply) == (200, {"outputs": {"one": [1.0], "two": [1.0, 1.0]}})


def test_dtypes_without_a_json_form_are_refused(server):
    status, reply = server.post(ZOO, zoo("half_precision", instances=[1]))
    assert (status, reply["error"]) == (400, "Failed to write JSON value for tensor type: float16")
    status, reply = server.post(ZOO, zoo("from_half_precision", inputs=[1]))
    assert (status, reply["error"]) == (501, "Conversion of JSON Value: 1 to type: half")


def test_a_call_that_takes_too_long_gets_504(server, gate):
    body = {"signature_name": "hold", "inputs": [str(gate.path)]}
    assert server.post("/v1/models/drained:predict", body)[0] == 504


def test_gzip_requests(server):
    body = gzip.compress(b'{"instances": [1.0]}')
    headers = {"Content-Encoding": "gzip"}
    assert server.request("POST", HALF, body, headers)[0] == 200
    status, _, reply = server.request("POST", HALF, body[:-9], headers)
    assert (status, json.loads(reply)["error"]) == (400, "JSON Parse error: The document is empty")


@pytest.mark.parametrize("compressed", [False, True])
def test_bodies_above_the_limit_are_refused(server, compressed):
    body = b'{"instances": [' + b"1," * 2**20 + b"1]}"
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    status, _, reply = server.request(
        "POST", HALF, gzip.compress(body) if compressed else body, headers
    )
    assert (status, "1048576 bytes" in json.loads(reply)["error"]) == (413, True)


def test_ten_thousand_instances(server):
    status, reply = server.post(HALF, {"instances": list(range(10_000))})
    assert (status, reply["predictions"][-1]) == (200, 9999 / 2 + 2)


def test_preflight_needs_an_origin(server):
    origin = {"Origin": "https://example.org"}
    assert server.request("OPTIONS", "/v1/models/half", headers=origin)[0] == 200
    assert server.request("OPTIONS", "/v1/models/half")[0] == 400


def test_probes(server):
    assert server.get("/healthz") == (200, {"status": "ok"})
    assert server.get("/readyz") == (200, {"status": "ready"})


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [0.1, -3.0]),
        ("float64", [0.1, 1e300]),
        ("int8", [-128, 127]),
        ("int16", [-5]),
        ("int64", [2**63 - 1, -(2**63)]),
        ("uint8", [255]),
        ("bool", [True, False]),
        ("string", ["a", ""]),
    ],
)
def test_every_json_dtype_comes_back_as_sent(server, dtype, values):
    body = {"signature_name": f"echo_{dtype}", "inputs": [values, values]}
    assert server.post(ZOO, body) == (200, {"outputs": [values, values]})


def test_bytes_are_exact(server):
    encoded = base64.b64encode(bytes(range(256)) + b"\0").decode()
    _, reply = server.post(ZOO, zoo("image", instances=[{"b64": encoded}]))
    assert reply["predictions"] == [{"length": 257, "raw_bytes": {"b64": encoded}}]


def read_raw(sock):
    """Read one response from a socket."""
    response = http.client.HTTPResponse(sock)
    response.begin()
    return response.status, response.read()


def test_one_connection_carries_chunked_expected_and_plain_requests(server):
    head = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: h\r\n"
    body = b'{"instances": [1.0]}'
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as sock:
        chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[i : i + 1]) for i in range(len(body)))
        sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        assert read_raw(sock) == (200, b'{"predictions":[2.5]}')
        sock.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert read_raw(sock) == (200, b'{"predictions":[2.5]}')
        sock.sendall(head + b"Content-Length: 0\r\n\r\n")
        assert read_raw(sock)[0] == 400
        sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert read_raw(sock) == (200, b'{"predictions":[2.5]}')


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_400(server, data):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as sock:
        sock.sendall(data)
        assert b" 400 " in sock.recv(1000)


def test_a_client_that_leaves_in_the_middle_of_a_body_disturbs_nobody(server):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as sock:
        sock.sendall(b"POST /v1/models/half:predict HTTP/1.1\r\nContent-Length: 99\r\n\r\n{")
    assert server.post(HALF, {"instances": [1.0]})[0] == 200
