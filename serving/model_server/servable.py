"""A loaded version: signatures that run, and the count of requests that keep it alive."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from serving.model_server.batching_parameters import BatchingParameters
from serving.model_server.errors import Code, InvalidArgumentError, ServingError

DEFAULT_SIGNATURE: Final = "serving_default"

Tensors = dict[str, np.ndarray[Any, Any]]
"""Alias to value; a string tensor is an object array of bytes."""


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One input or output of a signature.

    Attributes:
        alias: its name in the signature.
        dtype: numpy dtype; object for strings.
        data_type: value of `tensorflow.DataType`.
        data_type_name: what error messages call the dtype, such as `float` or `string`.
        handle: the TF_Output that a session run feeds or fetches.
    """

    alias: str
    dtype: np.dtype[Any]
    data_type: int
    data_type_name: str
    handle: Any


RunFunction = Callable[[Mapping[Any, Any], Sequence[Any], int], list[Any]]
"""Feeds by handle, fetched handles, time limit in milliseconds (0: none) -> values."""


@dataclasses.dataclass(frozen=True)
class Signature:
    """A function of a model, callable from any thread.

    Attributes:
        name: its name.
        method_name: `SignatureDef.method_name`.
        inputs: inputs by alias, sorted by alias.
        outputs: outputs by alias, sorted by alias.
        run_function: calls the session.
        checks_method_name: whether Classify and Regress look at `method_name`; else the names of
            inputs and outputs decide.
    """

    name: str
    method_name: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    run_function: RunFunction
    checks_method_name: bool = False

    def check_input_names(self, given: Sequence[str]) -> None:
        """Check that a request feeds this signature's inputs, all of them and no others.

        Args:
            given: aliases in the request.

        Raises:
            InvalidArgumentError: they differ.
        """
        extra = sorted(set(given).difference(self.inputs))
        missing = sorted(set(self.inputs).difference(given))
        if len(given) != len(self.inputs):
            raise InvalidArgumentError(
                f"input size does not match signature: {len(given)}!={len(self.inputs)} "
                f"len({{{','.join(sorted(given))}}}) != len({{{','.join(self.inputs)}}}). "
                f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}."
            )
        if extra:
            raise InvalidArgumentError(
                f"input tensor alias not found in signature: {extra[0]}. "
                f"Inputs expected to be in the set {{{','.join(self.inputs)}}}."
            )

    def choose_outputs(self, output_filter: Sequence[str]) -> list[TensorSpec]:
        """Find the outputs to compute.

        Args:
            output_filter: aliases; empty for all.

        Returns:
            The outputs, in the filter's order.

        Raises:
            InvalidArgumentError: an unknown or repeated alias.
        """
        chosen: dict[str, TensorSpec] = {}
        for alias in output_filter or self.outputs:
            if alias not in self.outputs:
                raise InvalidArgumentError(
                    f"output tensor alias not found in signature: {alias} "
                    f"Outputs expected to be in the set {{{','.join(self.outputs)}}}."
                )
            if alias in chosen:
                raise InvalidArgumentError(f"duplicate output tensor alias: {alias}")
            chosen[alias] = self.outputs[alias]
        return list(chosen.values())

    def run(self, inputs: Tensors, outputs: Sequence[TensorSpec], timeout_ms: int) -> Tensors:
        """Call the model and wait for it; blocks without holding the interpreter lock.

        Args:
            inputs: a value for each input, of its dtype.
            outputs: what to compute.
            timeout_ms: time limit in milliseconds; 0 for none.

        Returns:
            The outputs by alias.

        Raises:
            ServingError: what an op of the model raised, with that op's code and text.
        """
        feeds = {self.inputs[alias].handle: value for alias, value in inputs.items()}
        values = self.run_function(feeds, [spec.handle for spec in outputs], timeout_ms)
        return {
            spec.alias: _as_array(value, spec) for spec, value in zip(outputs, values, strict=True)
        }


def _as_array(value: Any, spec: TensorSpec) -> np.ndarray[Any, Any]:
    # A scalar comes back as a numpy scalar or as bytes, whose trailing zeros numpy would drop.
    return value if isinstance(value, np.ndarray) else np.array(value, dtype=spec.dtype)


class Servable:
    """One loaded version of a model; requests lease it, so that it is closed when the last ends."""

    def __init__(
        self,
        name: str,
        version: int,
        signatures: dict[str, Signature],
        signature_defs: Any,
        close: Callable[[], None],
        batching: BatchingParameters | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.signatures = signatures
        self.signature_defs = signature_defs
        self.batching = batching
        self._close = close
        self._lock = threading.Lock()
        self._leases = 0
        self._is_retired = False

    def signature(self, name: str) -> Signature:
        """Find a signature.

        Args:
            name: its name; empty for `serving_default`.

        Returns:
            The signature.

        Raises:
            ServingError: FAILED_PRECONDITION; there is no such signature.
        """
        wanted = name or DEFAULT_SIGNATURE
        if wanted not in self.signatures:
            raise ServingError(
                Code.FAILED_PRECONDITION, f'Serving signature key "{wanted}" not found.'
            )
        return self.signatures[wanted]

    def try_lease(self) -> bool:
        """Keep the version alive for a request, which must `release` it.

        Returns:
            Whether it is still served; when not, look the model up again.
        """
        with self._lock:
            if not self._is_retired:
                self._leases += 1
            return not self._is_retired

    def extend_lease(self) -> None:
        """Add a lease while holding one, for work that may outlive the request; `release` it."""
        with self._lock:
            self._leases += 1

    def release(self) -> None:
        """Give back one lease."""
        with self._lock:
            self._leases -= 1

    def retire(self) -> None:
        """Refuse new leases from now on."""
        with self._lock:
            self._is_retired = True

    def is_idle(self) -> bool:
        """Tell whether no request uses the version.

        Returns:
            True when it may be closed.
        """
        with self._lock:
            return self._leases == 0

    def close(self) -> None:
        """Free the model; the caller has made sure that nothing uses it."""
        self._close()
