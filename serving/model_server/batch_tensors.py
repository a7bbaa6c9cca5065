"""The inputs of many requests as one batch, and its outputs as the rows of each of them again."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from serving.model_server.errors import Code, InvalidArgumentError, ServingError
from serving.model_server.servable import Tensors


def count_rows(inputs: Tensors) -> int:
    """Find the batch dimension of a request.

    Args:
        inputs: a value for each input.

    Returns:
        The first dimension, which all inputs share.

    Raises:
        InvalidArgumentError: no input, a scalar, or first dimensions that differ.
    """
    if not inputs:
        raise InvalidArgumentError("Batching Run() must have at least one input tensor")
    if not all(array.ndim for array in inputs.values()):
        raise InvalidArgumentError("Batching Run() input tensors must have at least one dimension")
    num_rows, *others = [len(array) for array in inputs.values()]
    if any(number != num_rows for number in others):
        raise InvalidArgumentError(
            "Batching Run() input tensors must have equal 0th-dimension size"
        )
    return num_rows


def shape_bucket(inputs: Tensors, *, can_pad_columns: bool) -> Hashable:
    """Name the group of requests that this one can share a batch with.

    TF Serving has no such groups: there one request of another shape fails all of its batch.

    Args:
        inputs: a value for each input, each with a batch dimension.
        can_pad_columns: whether other dimensions may differ too; an empty tensor has nothing to
            be padded with, and stays among its like.

    Returns:
        A key, equal for requests of one group.
    """
    return tuple(
        (alias, array.ndim if can_pad_columns and array.size else array.shape[1:])
        for alias, array in sorted(inputs.items())
    )


def merge_inputs(parts: Sequence[Tensors], num_padding_rows: int) -> Tensors:
    """Concatenate requests of one shape bucket.

    Args:
        parts: inputs of each request; dimensions other than the first are padded to the largest
            with the tensor's first element.
        num_padding_rows: rows to add, copies of the first row of the last request that has any.

    Returns:
        The inputs of the batch.
    """
    if len(parts) == 1 and not num_padding_rows:
        return parts[0]
    return {
        alias: _concatenate([part[alias] for part in parts], num_padding_rows) for alias in parts[0]
    }


def _concatenate(arrays: list[np.ndarray[Any, Any]], num_padding_rows: int) -> Any:
    if any(array.shape[1:] != arrays[0].shape[1:] for array in arrays):
        widest = tuple(max(sizes) for sizes in zip(*(a.shape[1:] for a in arrays), strict=True))
        arrays = [_pad_columns(array, widest) for array in arrays]
    if num_padding_rows:
        last = next(array for array in reversed(arrays) if len(array))
        padding = np.broadcast_to(last[:1], (num_padding_rows, *last.shape[1:]))
        arrays = [*arrays, padding]
    return np.concatenate(arrays)


def _pad_columns(array: np.ndarray[Any, Any], sizes: tuple[int, ...]) -> np.ndarray[Any, Any]:
    if array.shape[1:] == sizes:
        return array
    wide = np.empty((len(array), *sizes), array.dtype)
    # A slice of one element, not the element: numpy would strip the zeros at the end of bytes.
    wide[...] = array[(slice(0, 1),) * array.ndim]
    wide[tuple(slice(0, size) for size in array.shape)] = array
    return wide


def slice_rows(tensors: Tensors, sizes: Sequence[int]) -> list[Tensors]:
    """Cut tensors into runs of rows, without copying.

    Args:
        tensors: by alias, each with at least `sum(sizes)` rows.
        sizes: rows of each run.

    Returns:
        The runs; rows beyond them, the padding, are left out.
    """
    runs: list[Tensors] = []
    start = 0
    for size in sizes:
        stop = start + size
        runs.append({alias: array[start:stop] for alias, array in tensors.items()})
        start = stop
    return runs


def split_outputs(outputs: Tensors, sizes: Sequence[int], num_padding_rows: int) -> list[Tensors]:
    """Give each request of a batch its own rows.

    Args:
        outputs: what the model answered to the batch.
        sizes: rows of each request.
        num_padding_rows: rows after theirs.

    Returns:
        The outputs of each request.

    Raises:
        ServingError: FAILED_PRECONDITION; an output does not have a row for each row of the batch.
    """
    num_rows = sum(sizes) + num_padding_rows
    for alias, array in outputs.items():
        if not array.ndim:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                f"Batched output tensor has 0 dimensions (output {alias!r})",
            )
        if len(array) != num_rows:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
                f"sizes of the input tensors (output {alias!r}: {len(array)}, inputs: {num_rows})",
            )
    return slice_rows(outputs, sizes)


def join_rows(parts: Sequence[Tensors]) -> Tensors:
    """Put the answers to the pieces of a split request together.

    Args:
        parts: outputs of each piece, in the order of their rows.

    Returns:
        The outputs of the request.

    Raises:
        InvalidArgumentError: the pieces were answered in shapes that do not fit together.
    """
    if len(parts) == 1:
        return parts[0]
    try:
        return {alias: np.concatenate([part[alias] for part in parts]) for alias in parts[0]}
    except ValueError as error:
        raise InvalidArgumentError(
            f"the request was split, and its answers have different shapes: {error}. "
            "Send fewer rows, or switch enable_large_batch_splitting off."
        ) from error
