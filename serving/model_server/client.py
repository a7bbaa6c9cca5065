"""A synchronous client of this server and of tensorflow_model_server: numpy in, numpy out."""

import base64
import dataclasses
import http.client
import json
import time
import urllib.parse
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import grpc
import numpy as np
import orjson

from configs.errors import UpstreamError, UpstreamTimeoutError

_PREDICT_METHOD: Final = "/tensorflow.serving.PredictionService/Predict"
_POLL_SECONDS: Final = 0.1
_MESSAGE_LIMIT: Final = [("grpc.max_receive_message_length", -1)]
_HTTP_OK: Final = 200

Arrays = dict[str, np.ndarray[Any, Any]]
"""Alias to value; strings are object arrays of bytes."""


@dataclasses.dataclass(frozen=True)
class VersionReport:
    """State of one version, as the server tells it.

    Attributes:
        version: the version.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error_code: canonical code; `OK` when nothing is wrong.
        error_message: why it could not be loaded.
    """

    version: int
    state: str
    error_code: str
    error_message: str


class ModelServerClient:
    """Talks to one model server over gRPC and REST."""

    def __init__(
        self, *, grpc_address: str, rest_address: str, timeout_seconds: float = 30.0
    ) -> None:
        """Remember the addresses; nothing is connected yet.

        Args:
            grpc_address: `host:port` of gRPC.
            rest_address: `host:port` of REST.
            timeout_seconds: time limit of each call.
        """
        self._rest_address = rest_address
        self._timeout_seconds = timeout_seconds
        self._channel = grpc.insecure_channel(grpc_address, options=_MESSAGE_LIMIT)

    def __enter__(self) -> Self:
        """Use as a context manager.

        Returns:
            The client.
        """
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections.

        Args:
            kind: unused.
            error: unused.
            traceback: unused.
        """
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._channel.close()

    def wait_until_available(
        self,
        model_name: str,
        timeout_seconds: float,
        is_alive: Callable[[], bool] = lambda: True,
    ) -> int:
        """Wait until a version of a model answers.

        Args:
            model_name: the model.
            timeout_seconds: how long to wait at most.
            is_alive: whether the server's process still runs; asked between attempts.

        Returns:
            The highest version that is AVAILABLE.

        Raises:
            UpstreamTimeoutError: the time is up.
            UpstreamError: the process ended.
        """
        deadline = time.monotonic() + timeout_seconds
        problem = "not asked yet"
        while time.monotonic() < deadline:
            if not is_alive():
                raise UpstreamError(
                    f"the model server ended before '{model_name}' was available. Read its log."
                )
            try:
                reports = self.get_status(model_name)
            except UpstreamError as error:
                problem = str(error)
            else:
                available = [r.version for r in reports if r.state == "AVAILABLE"]
                if available:
                    return max(available)
                problem = "; ".join(f"{r.version} {r.state} {r.error_message}" for r in reports)
            time.sleep(_POLL_SECONDS)
        raise UpstreamTimeoutError(
            f"model '{model_name}' at {self._rest_address} was not AVAILABLE within "
            f"{timeout_seconds:g} s; last answer: {problem}. Read the server's log."
        )

    def get_status(self, model_name: str) -> list[VersionReport]:
        """Ask for the states of a model's versions.

        Args:
            model_name: the model.

        Returns:
            One report per version, newest first.

        Raises:
            UpstreamError: no connection, or an error answer.
            UpstreamTimeoutError: no answer in time.
        """
        answer = self._request("GET", f"/v1/models/{urllib.parse.quote(model_name, safe='')}")
        return [
            VersionReport(
                version=int(entry["version"]),
                state=entry["state"],
                error_code=entry["status"]["error_code"],
                error_message=entry["status"]["error_message"],
            )
            for entry in answer["model_version_status"]
        ]

    def predict_grpc(
        self, model_name: str, inputs: Mapping[str, Any], signature_name: str = ""
    ) -> Arrays:
        """Call a signature over gRPC.

        Args:
            model_name: the model; its highest version answers.
            inputs: a value for each input, of the input's dtype; text as bytes.
            signature_name: the signature; empty for `serving_default`.

        Returns:
            The outputs by alias.

        Raises:
            UpstreamError: no connection, or an error answer.
            UpstreamTimeoutError: no answer in time.
        """
        # Imported here: these modules import TensorFlow, which takes seconds.
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = model_name
        request.model_spec.signature_name = signature_name
        for alias, value in inputs.items():
            request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
        call = self._channel.unary_unary(
            _PREDICT_METHOD,
            request_serializer=predict_pb2.PredictRequest.SerializeToString,
            response_deserializer=predict_pb2.PredictResponse.FromString,
        )
        try:
            response = call(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            code, details = _status_of(error)
            text = f"Predict on model '{model_name}' over gRPC: {code.name}: {details}"
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise UpstreamTimeoutError(text) from error
            raise UpstreamError(text) from error
        return {alias: tf.make_ndarray(proto) for alias, proto in response.outputs.items()}

    def predict_rest(
        self, model_name: str, inputs: Mapping[str, Any], signature_name: str = ""
    ) -> Arrays:
        """Call a signature over REST.

        Args:
            model_name: the model; its highest version answers.
            inputs: a value for each input; bytes are sent as base64.
            signature_name: the signature; empty for `serving_default`.

        Returns:
            The outputs by alias, of the dtypes in the model's metadata.

        Raises:
            UpstreamError: no connection, or an error answer.
            UpstreamTimeoutError: no answer in time.
        """
        path = f"/v1/models/{urllib.parse.quote(model_name, safe='')}"
        wanted = signature_name or "serving_default"
        dtypes = self._fetch_output_dtypes(path, wanted)
        body = {
            "signature_name": wanted,
            "inputs": {alias: _to_json(np.asarray(value)) for alias, value in inputs.items()},
        }
        outputs = self._request("POST", f"{path}:predict", orjson.dumps(body))["outputs"]
        if len(dtypes) == 1:
            outputs = {next(iter(dtypes)): outputs}
        return {alias: _from_json(value, dtypes[alias]) for alias, value in outputs.items()}

    def _fetch_output_dtypes(self, path: str, signature_name: str) -> dict[str, str]:
        metadata = self._request("GET", f"{path}/metadata")["metadata"]["signature_def"]
        definition = metadata["signature_def"].get(signature_name)
        if definition is None:
            raise UpstreamError(
                f"the model at {self._rest_address}{path} has no signature '{signature_name}', "
                f"expected one of {sorted(metadata['signature_def'])}. Export it, or ask for one."
            )
        return {alias: info["dtype"] for alias, info in definition["outputs"].items()}

    def _request(self, method: str, path: str, body: bytes | None = None) -> Any:
        connection = http.client.HTTPConnection(self._rest_address, timeout=self._timeout_seconds)
        where = f"{method} http://{self._rest_address}{path}"
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            content = response.read()
        except TimeoutError as error:
            raise UpstreamTimeoutError(
                f"{where}: no answer within {self._timeout_seconds:g} s."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamError(f"{where}: {error}. Check that the server runs there.") from error
        finally:
            connection.close()
        if response.status != _HTTP_OK:
            text = content.decode("utf-8", "replace")
            raise UpstreamError(f"{where}: status {response.status}, expected 200: {text}")
        return json.loads(content)


def _status_of(error: Any) -> tuple[grpc.StatusCode, str]:
    # An RpcError of a call is a call too; the base class does not say so.
    return error.code(), error.details()


def _to_json(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype.kind in "OSU":
        return _encode_strings(array.tolist())
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return orjson.Fragment(json.dumps(array.tolist()))
    return array.tolist()


def _encode_strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_encode_strings(element) for element in value]
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return {"b64": base64.b64encode(raw).decode("ascii")}


def _from_json(value: Any, data_type: str) -> np.ndarray[Any, Any]:
    name = data_type.removeprefix("DT_").lower()
    if name == "string":
        return np.array(_decode_strings(value), dtype=object)
    return np.array(value, dtype={"float": "float32", "double": "float64"}.get(name, name))


def _decode_strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode_strings(element) for element in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode("utf-8")
