"""A SavedModel folder becomes a session of its own, and signatures that run in it."""

import dataclasses
import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.client import pywrap_tf_session as _untyped_session

from serving.model_server.batching_parameters import BatchingParameters, batching_of_version
from serving.model_server.errors import Code, ServingError, to_serving_error
from serving.model_server.flags import ServerFlags
from serving.model_server.servable import RunFunction, Servable, Signature, TensorSpec
from serving.model_server.session_config import session_config
from serving.model_server.tensor_proto import data_type_name
from serving.model_server.warmup import replay_warmup_requests

# Its annotations are those of the C++ binding, which takes more than they say.
_session_api: Any = _untyped_session

_NOT_CALLABLE: Final = ("__saved_model_init_op", "__saved_model_train_op")
_SAVED_MODEL_FILES: Final = ("saved_model.pb", "saved_model.pbtxt")
_METHOD_NAMES: Final = tuple(f"tensorflow/serving/{m}" for m in ("predict", "classify", "regress"))


class WarmupObserver(Protocol):
    """Is told about each warm-up; see `ServerMetrics.observe_warmup`."""

    def __call__(
        self, path: Path, *, seconds: float, num_records: int, error: ServingError | None
    ) -> None:
        """Take note of a warm-up."""
        ...


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """How to load.

    Attributes:
        tags: tags of the graph.
        session_config: the ConfigProto of every session.
        warmup_iterations: runs of each warm-up request; 0 for no warm-up.
        check_method_names: whether a signature needs one of TF Serving's method names.
        observe_warmup: told about each warm-up; None when nobody wants to know.
        batching: how requests are batched; None for one by one.
        is_batching_per_model: whether a version's folder says how.
    """

    tags: tuple[str, ...]
    session_config: Any
    warmup_iterations: int
    check_method_names: bool
    batching: BatchingParameters | None = None
    is_batching_per_model: bool = False
    observe_warmup: WarmupObserver | None = None


def load_options(flags: ServerFlags, batching: BatchingParameters | None = None) -> LoadOptions:
    """Read the flags that concern loading.

    Args:
        flags: the command line.
        batching: its batching parameters; None when batching is off.

    Returns:
        The options.

    Raises:
        ConfigError: the session config file cannot be read or parsed.
    """
    iterations = max(1, flags.num_request_iterations_for_warmup)
    return LoadOptions(
        tags=tuple(flags.saved_model_tags.split(",")),
        session_config=session_config(flags, batching),
        warmup_iterations=iterations if flags.enable_model_warmup else 0,
        check_method_names=flags.enable_signature_method_name_check,
        batching=batching,
        is_batching_per_model=flags.enable_per_model_batching_parameters,
    )


def load_servable(name: str, version: int, path: Path, options: LoadOptions) -> Servable:
    """Load one version and replay its warm-up requests.

    `tf.compat.v1.saved_model.load` reads what TF1 and what TF2 exported, and a session call is
    the fastest way into TensorFlow from Python.

    Args:
        name: the model's name.
        version: the version.
        path: its folder.
        options: how to load.

    Returns:
        The loaded version.

    Raises:
        ServingError: the folder holds no loadable SavedModel, its batching parameters are wrong,
            or a warm-up request fails.
    """
    if not any((path / file).is_file() for file in _SAVED_MODEL_FILES):
        raise ServingError(
            Code.NOT_FOUND,
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}",
        )
    session = tf.compat.v1.Session(graph=tf.Graph(), config=options.session_config)
    try:
        servable = _load_into(session, name, version, path, options)
        if options.warmup_iterations:
            _warm_up(servable, path, options)
    except BaseException:
        session.close()
        raise
    return servable


def _warm_up(servable: Servable, path: Path, options: LoadOptions) -> None:
    started = time.perf_counter()
    num_records, error = 0, None
    try:
        num_records = replay_warmup_requests(servable, path, options.warmup_iterations)
    except ServingError as caught:
        error = caught
        raise
    finally:
        # As in TF Serving, a version without warm-up requests leaves no trace.
        if options.observe_warmup and (num_records or error):
            seconds = time.perf_counter() - started
            options.observe_warmup(path, seconds=seconds, num_records=num_records, error=error)


def _load_into(session: Any, name: str, version: int, path: Path, options: LoadOptions) -> Servable:
    batching = batching_of_version(
        path, options.batching, is_per_model=options.is_batching_per_model
    )
    meta_graph = _read_saved_model(session, path, options.tags)
    # A graph in which nothing had to be restored has not been handed to the session yet.
    session._extend_graph()
    build = _SignatureBuilder(session, options.check_method_names)
    signatures = {
        key: build.signature(key, definition)
        for key, definition in meta_graph.signature_def.items()
        if key not in _NOT_CALLABLE
    }
    # Only the signatures are kept; a MetaGraphDef holds a second copy of the graph.
    signature_defs = {key: _copy(value) for key, value in meta_graph.signature_def.items()}
    return Servable(name, version, signatures, signature_defs, _closer(session), batching)


def _read_saved_model(session: Any, path: Path, tags: tuple[str, ...]) -> Any:
    try:
        with session.graph.as_default():
            return tf.compat.v1.saved_model.load(session, list(tags), str(path))
    except (tf.errors.OpError, MemoryError) as error:
        raise to_serving_error(error) from error
    except RuntimeError as error:  # the tags are not there
        raise ServingError(Code.NOT_FOUND, str(error)) from error
    except OSError as error:  # saved_model.pb does not parse
        raise ServingError(Code.DATA_LOSS, str(error)) from error
    except (ValueError, DecodeError) as error:  # no checkpoint, an op that does not exist
        raise ServingError(Code.INVALID_ARGUMENT, str(error)) from error


def _copy(message: Any) -> Any:
    duplicate = type(message)()
    duplicate.CopyFrom(message)
    return duplicate


def _closer(session: Any) -> Callable[[], None]:
    def close() -> None:
        session.close()
        # Graphs are full of cycles; without this the weights stay until the next full collection.
        gc.collect()

    return close


class _SignatureBuilder:
    def __init__(self, session: Any, check_method_names: bool) -> None:
        self._session = session
        self._run = _make_run_function(session)
        self._check_method_names = check_method_names

    def signature(self, name: str, definition: Any) -> Signature:
        run = self._run
        if self._check_method_names and definition.method_name not in _METHOD_NAMES:
            run = _make_refusal(
                Code.INTERNAL,
                "Expected prediction signature method_name to be one of "
                f"{{{', '.join(_METHOD_NAMES)}}}. Was: {definition.method_name}",
            )
        sparse = [
            alias
            for tensors in (definition.inputs, definition.outputs)
            for alias, info in tensors.items()
            if info.WhichOneof("encoding") != "name"
        ]
        if sparse:
            message = f"tensor {sparse[0]!r} of signature {name!r} is not dense"
            refusal = _make_refusal(Code.UNIMPLEMENTED, message)
            return Signature(name, definition.method_name, {}, {}, refusal)
        inputs, outputs = self._specs(definition.inputs), self._specs(definition.outputs)
        checks = self._check_method_names
        return Signature(name, definition.method_name, inputs, outputs, run, checks)

    def _specs(self, tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
        return {alias: self._spec(alias, tensors[alias]) for alias in sorted(tensors)}

    def _spec(self, alias: str, info: Any) -> TensorSpec:
        tensor = self._session.graph.get_tensor_by_name(info.name)
        return TensorSpec(
            alias=alias,
            dtype=np.dtype(tensor.dtype.as_numpy_dtype),
            data_type=info.dtype,
            data_type_name=data_type_name(info.dtype),
            handle=tensor._as_tf_output(),
        )


def _make_refusal(code: Code, message: str) -> RunFunction:
    def refuse(feeds: Mapping[Any, Any], fetches: Sequence[Any], timeout_ms: int) -> list[Any]:
        del feeds, fetches, timeout_ms
        raise ServingError(code, message)

    return refuse


def _make_run_function(session: Any) -> RunFunction:
    # What Session.run does after its checks: 20 us instead of 109 us, and with the op's own text.
    handle = session._session
    buffers = _RunOptionsBuffers()

    def run(feeds: Mapping[Any, Any], fetches: Sequence[Any], timeout_ms: int) -> list[Any]:
        try:
            return _session_api.TF_SessionRun_wrapper(
                handle, buffers.get(timeout_ms), feeds, fetches, [], None
            )
        except tf.errors.OpError as error:
            raise to_serving_error(error) from error

    return run


class _RunOptionsBuffers:
    # RunOptions in TensorFlow's C form, one per time limit; deadlines are rounded to a few hundred.
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buffers: dict[int, Any] = {}

    def get(self, timeout_ms: int) -> Any:
        buffer = self._buffers.get(timeout_ms)
        if buffer is None:
            options = tf.compat.v1.RunOptions(timeout_in_ms=timeout_ms)
            with self._lock:
                buffer = _session_api.TF_NewBufferFromString(options.SerializeToString())
                self._buffers[timeout_ms] = buffer
        return buffer
