"""The REST API, as a bare ASGI application: paths, bodies, headers; the work is done elsewhere."""

import asyncio
import contextlib
import dataclasses
import re
import urllib.parse
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import orjson
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.model_server.errors import (
    Code,
    InvalidArgumentError,
    PayloadTooLargeError,
    ServingError,
)
from serving.model_server.inferrer import Inferrer
from serving.model_server.manager import Manager
from serving.model_server.metrics import CONTENT_TYPE, ServerMetrics
from serving.model_server.predict import METADATA_FIELD, Predictor, model_metadata
from serving.model_server.registry import ModelSelector

_VERSION: Final = r"(?:(?:/versions/(?P<version>[0-9]+))|(?:/labels/(?P<label>[^/:]+)))?"
_POST_PATH: Final = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<verb>classify|regress|predict)", re.IGNORECASE
)
_GET_PATH: Final = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<verb>metadata))?", re.IGNORECASE
)
"""Source: tensorflow_serving/model_servers/http_rest_api_util.cc."""
_INT64_LIMIT: Final = 2**63
_JSON: Final = b"application/json"
_CORS_HEADERS: Final = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]
_NOT_FOUND_PAGE: Final = (
    b"<html><head><title>404 Not Found</title></head><body>Not Found</body></html>"
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Reply:
    """What goes back.

    Attributes:
        status: HTTP status.
        body: the content.
        content_type: its type.
    """

    status: int
    body: bytes
    content_type: bytes = _JSON


@dataclasses.dataclass(frozen=True)
class RestOptions:
    """Flags of the REST API.

    Attributes:
        max_body_bytes: largest body, also after gunzip.
        enable_cors: add CORS headers.
        metrics_path: where metrics are exported; empty for nowhere.
    """

    max_body_bytes: int
    enable_cors: bool
    metrics_path: str = ""


class RestApp:
    """The ASGI application."""

    def __init__(
        self,
        predictor: Predictor,
        manager: Manager,
        options: RestOptions,
        is_ready: Callable[[], bool],
        *,
        metrics: ServerMetrics | None = None,
    ) -> None:
        self._predictor = predictor
        inferrer = Inferrer(
            predictor.registry, predictor.runner, metrics.observe_examples if metrics else None
        )
        self._answers: dict[str, Callable[[ModelSelector, bytes], Awaitable[bytes]]] = {
            "predict": predictor.predict_json,
            "classify": inferrer.classify_json,
            "regress": inferrer.regress_json,
        }
        self._metrics = metrics
        self._manager = manager
        self._options = options
        self._is_ready = is_ready

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request.

        Args:
            scope: the ASGI scope.
            receive: gives the body.
            send: takes the reply.
        """
        headers = dict(scope["headers"])
        try:
            reply = await self._respond(scope, headers, receive)
        except ServingError as error:
            reply = Reply(error.http_status, orjson.dumps({"error": error.message}))
        length = str(len(reply.body)).encode()
        reply_headers = [(b"content-type", reply.content_type), (b"content-length", length)]
        if self._options.enable_cors and scope["path"].lower().startswith("/v1/"):
            reply_headers += _CORS_HEADERS
        await send({
            "type": "http.response.start",
            "status": reply.status,
            "headers": reply_headers,
        })
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    async def _respond(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive
    ) -> Reply:
        target = _request_target(scope)
        if not target.lower().startswith("/v1/"):
            return self._respond_to_probe(target)
        method = scope["method"]
        if method == "OPTIONS":
            return _respond_to_preflight(headers)
        body = await self._read_body(headers, receive)
        pattern = {"POST": _POST_PATH, "GET": _GET_PATH}.get(method)
        match = pattern.fullmatch(target) if pattern else None
        if match is None:
            raise _malformed(method, target)
        selector = _selector(match)
        if method == "GET":
            return self._describe(selector, match["verb"])
        verb = match["verb"]
        if verb not in self._answers:
            raise _malformed(
                method, target
            )  # TF Serving matches :PREDICT, and then compares in lower case
        with self._counted(selector.name, verb):
            return Reply(200, await self._answers[verb](selector, body))

    def _counted(self, model_name: str, verb: str) -> contextlib.AbstractContextManager[None]:
        if self._metrics is None:
            return contextlib.nullcontext()
        return self._metrics.request(model_name, verb, "REST")

    def _respond_to_probe(self, target: str) -> Reply:
        if self._metrics and target.partition("?")[0] == self._options.metrics_path:
            return Reply(200, self._metrics.render(), CONTENT_TYPE)
        # TF Serving has neither; Kubernetes needs both.
        if target == "/healthz":
            return Reply(200, b'{"status": "ok"}')
        if target == "/readyz":
            if self._is_ready():
                return Reply(200, b'{"status": "ready"}')
            return Reply(503, b'{"error": "shutting down"}')
        return Reply(404, _NOT_FOUND_PAGE, b"text/html")

    def _describe(self, selector: ModelSelector, verb: str | None) -> Reply:
        if not selector.name:
            raise InvalidArgumentError("Missing model name in request.")
        if verb == METADATA_VERB:
            registry = self._predictor.registry
            response = model_metadata(registry, selector, [METADATA_FIELD])
            return Reply(200, _metadata_json(response))
        return Reply(200, self._status_json(selector))

    def _status_json(self, selector: ModelSelector) -> bytes:
        version = selector.version
        if selector.label is not None:
            version = self._predictor.registry.label_version(selector.name, selector.label)
            if version is None:
                raise InvalidArgumentError(f"Unrecognized servable version label: {selector.label}")
        entries = [
            {
                "version": str(status.version),
                "state": status.state.name,
                "status": {
                    "error_code": (status.error.code if status.error else Code.OK).name,
                    "error_message": status.error.message if status.error else "",
                },
            }
            for status in self._manager.statuses(selector.name, version)
        ]
        return orjson.dumps({"model_version_status": entries})

    async def _read_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        limit = self._options.max_body_bytes
        if int(headers.get(b"content-length", b"0")) > limit:
            raise _too_large(limit)
        chunks: list[bytes] = []
        size = 0
        is_last = False
        while not is_last:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServingError(Code.CANCELLED, "the client hung up")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                raise _too_large(limit)
            is_last = not message.get("more_body", False)
        body = b"".join(chunks)
        if b"gzip" in headers.get(b"content-encoding", b""):
            # A kilobyte may become a megabyte; zlib lets other threads run meanwhile.
            return await asyncio.to_thread(_gunzip, body, limit)
        return body


METADATA_VERB: Final = "metadata"


def _malformed(method: str, target: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"Malformed request: {method} {target}")


def _too_large(limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"the body is larger than {limit} bytes. Send fewer instances, or raise "
        "--rest_api_max_body_bytes."
    )


def _gunzip(body: bytes, limit: int) -> bytes:
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = decompressor.decompress(body, limit)
    except zlib.error:
        return b""  # so says TF Serving; parsing then reports an empty document
    if decompressor.unconsumed_tail:
        raise _too_large(limit)
    return plain if decompressor.eof else b""


def _request_target(scope: Message) -> str:
    query = scope["query_string"]
    target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    return target.decode("latin-1")


def _respond_to_preflight(headers: dict[bytes, bytes]) -> Reply:
    if re.search(rb"https?://", headers.get(b"origin", b"")):
        return Reply(200, b"")
    return Reply(400, b"")


def _selector(match: re.Match[str]) -> ModelSelector:
    version = match["version"]
    if version is not None and int(version[:20]) >= _INT64_LIMIT:
        raise InvalidArgumentError(f"Failed to convert version: {version} to numeric.")
    label = match["label"]
    return ModelSelector(
        name=urllib.parse.unquote(match["name"] or ""),
        version=int(version) if version is not None else None,
        label=urllib.parse.unquote(label) if label is not None else None,
    )


def _metadata_json(response: Any) -> bytes:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[METADATA_FIELD].Unpack(signatures)
    return orjson.dumps({
        "model_spec": _message_json(response.model_spec),
        "metadata": {METADATA_FIELD: _message_json(signatures)},
    })


def _message_json(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
