"""How requests are batched: a text BatchingParameters becomes plain, checked values."""

import bisect
import dataclasses
import itertools
import logging
import os
from pathlib import Path
from typing import Any, Final

from configs.errors import ConfigError
from serving.model_server.errors import InvalidArgumentError
from serving.model_server.flags import ServerFlags
from serving.model_server.text_protos import read_text_proto

logger = logging.getLogger("loupe.model_server")

PER_MODEL_FILENAME: Final = "batching_params.pbtxt"
POOL_NAME_WITHOUT_FILE: Final = "model_server_batch_threads"
"""Source: tensorflow_serving/model_servers/server.cc."""

_POOL_FIELDS: Final = ("num_batch_threads", "thread_pool_name")
_FIX: Final = "Correct the batching parameters."


def count_cpus() -> int:
    """Count the cores that this process may use.

    Returns:
        At least 1.
    """
    return len(os.sched_getaffinity(0))


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """Limits of each queue, and the pool of threads that all queues share.

    Attributes:
        max_batch_size: rows of the largest request, and of a batch that is not split.
        batch_timeout_micros: how long a batch that is not full waits for more, microseconds; 0 is
            until a thread is free.
        max_enqueued_batches: batches that may wait in one queue; a request beyond is refused.
        num_batch_threads: batches that run at once, over all models; unused in a model's own file.
        thread_pool_name: what threads and metrics are called; unused in a model's own file.
        allowed_batch_sizes: a batch is padded with rows up to one of these; empty for no padding.
        pad_variable_length_inputs: requests of different shapes share a batch, padded with columns.
        enable_large_batch_splitting: a request may be spread over several batches.
        max_execution_batch_size: rows of a batch when requests are split; 0 is `max_batch_size`.

    Raises:
        InvalidArgumentError: a value that cannot be honoured.

    Source: tensorflow_serving/servables/tensorflow/session_bundle_config.proto, and the defaults
    of tensorflow/core/kernels/batching_util/shared_batch_scheduler.h.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = dataclasses.field(default_factory=count_cpus)
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(
                    f"{name} must be positive; was {getattr(self, name)}. {_FIX}"
                )
        for name in ("batch_timeout_micros", "max_execution_batch_size"):
            if getattr(self, name) < 0:
                raise InvalidArgumentError(
                    f"{name} must be non-negative; was {getattr(self, name)}. {_FIX}"
                )
        if self.max_execution_batch_size > self.max_batch_size:
            raise InvalidArgumentError(
                f"max_execution_batch_size is {self.max_execution_batch_size}, expected at most "
                f"max_batch_size, {self.max_batch_size}. {_FIX}"
            )
        self._check_allowed_sizes()

    def _check_allowed_sizes(self) -> None:
        sizes = self.allowed_batch_sizes
        if not sizes:
            return
        if sizes[0] < 1 or any(low >= high for low, high in itertools.pairwise(sizes)):
            raise InvalidArgumentError(
                "allowed_batch_sizes entries must be positive and monotonically increasing; were "
                f"{', '.join(map(str, sizes))}. {_FIX}"
            )
        if sizes[-1] != self.max_batch_size:
            raise InvalidArgumentError(
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{sizes[-1]}; expected {self.max_batch_size}. {_FIX}"
            )

    @property
    def rows_per_batch(self) -> int:
        """Tell how many rows a batch may have before padding.

        Returns:
            A row count, at least 1.
        """
        if self.enable_large_batch_splitting:
            return self.max_execution_batch_size or self.max_batch_size
        return self.max_batch_size

    def count_padding_rows(self, num_rows: int) -> int:
        """Find how many rows a batch lacks to an allowed size.

        Args:
            num_rows: rows of the batch; a batch without rows has none to pad it with.

        Returns:
            The rows to add, at least 0.
        """
        if not self.allowed_batch_sizes or not num_rows:
            return 0
        index = bisect.bisect_left(self.allowed_batch_sizes, num_rows)
        return self.allowed_batch_sizes[index] - num_rows


def batching_from_flags(flags: ServerFlags) -> BatchingParameters | None:
    """Find out from the command line how to batch.

    Args:
        flags: the command line.

    Returns:
        The parameters; None when batching is off.

    Raises:
        InvalidArgumentError: the file cannot be read, parsed or honoured.
    """
    if not flags.enable_batching:
        return None
    if not flags.batching_parameters_file:
        return BatchingParameters(thread_pool_name=POOL_NAME_WITHOUT_FILE)
    return read_batching_parameters(Path(flags.batching_parameters_file))


def batching_of_version(
    folder: Path, common: BatchingParameters | None, *, is_per_model: bool
) -> BatchingParameters | None:
    """Find out how to batch the requests to one version.

    Args:
        folder: the version's folder.
        common: the parameters of the command line; None when batching is off.
        is_per_model: whether the folder says how; `common` is then the pool of threads only.

    Returns:
        The parameters; None for a version whose requests are not batched.

    Raises:
        InvalidArgumentError: the version's file cannot be read, parsed or honoured.
    """
    if common is None or not is_per_model:
        return common
    file = folder / PER_MODEL_FILENAME
    if not file.exists():
        return None
    parameters = read_batching_parameters(file)
    defaults = BatchingParameters()
    for name in _POOL_FIELDS:
        if getattr(parameters, name) != getattr(defaults, name):
            logger.warning(
                "%s: %s has no effect here; all models share the threads of "
                "--batching_parameters_file",
                *(file, name),
            )
    return parameters


def read_batching_parameters(file: Path) -> BatchingParameters:
    """Read a text-format BatchingParameters.

    Args:
        file: the file.

    Returns:
        Its values, and TF Serving's defaults for what it leaves out.

    Raises:
        InvalidArgumentError: no such file, text that does not parse, or a value that cannot be
            honoured.
    """
    try:
        message = read_text_proto(str(file), "BatchingParameters", "batching parameters")
    except ConfigError as error:
        raise InvalidArgumentError(str(error)) from error
    try:
        parameters = BatchingParameters(**dict(_given_values(message)))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{error.message} (file {str(file)!r})") from error
    if parameters.max_execution_batch_size and not parameters.enable_large_batch_splitting:
        logger.warning(
            "%s: max_execution_batch_size has no effect without enable_large_batch_splitting", file
        )
    return parameters


def _given_values(message: Any) -> list[tuple[str, Any]]:
    values: list[tuple[str, Any]] = []
    for field, value in message.ListFields():
        is_wrapper = field.message_type is not None
        plain = tuple(value) if field.is_repeated else value
        values.append((field.name, value.value if is_wrapper else plain))
    return values
