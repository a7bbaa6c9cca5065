"""Values of the model's signatures, to and from TensorProto."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from configs.errors import UpstreamError
from serving.gateway.model.protos import DataType

_VALUE_FIELDS: Final = {
    DataType.FLOAT: "float_val",
    DataType.STRING: "string_val",
    DataType.INT64: "int64_val",
    DataType.BOOL: "bool_val",
}
_NUMPY_TYPES: Final = {
    DataType.FLOAT: np.dtype(np.float32),
    DataType.INT64: np.dtype(np.int64),
    DataType.BOOL: np.dtype(np.bool_),
    DataType.STRING: np.dtype(object),
}

Arrays = dict[str, NDArray[Any]]
"""Output name to value; strings are object arrays of bytes."""


def add_images(request: Any, input_name: str, images: Sequence[bytes]) -> None:
    """Put encoded images into a request.

    Args:
        request: a PredictRequest.
        input_name: name of the signature's input.
        images: the encoded images.
    """
    tensor = request.inputs.add(key=input_name).value
    tensor.dtype = DataType.STRING
    tensor.tensor_shape.dim.add(size=len(images))
    tensor.string_val.extend(images)


def read_outputs(response: Any) -> Arrays:
    """Read what a model server answered.

    Args:
        response: a PredictResponse.

    Returns:
        Every output by its name.

    Raises:
        UpstreamError: a dtype that no signature of ours has, or values that do not fit the shape.
    """
    return {entry.key: _read_tensor(entry.key, entry.value) for entry in response.outputs}


def _read_tensor(name: str, tensor: Any) -> NDArray[Any]:
    try:
        data_type = DataType(tensor.dtype)
    except ValueError as error:
        raise UpstreamError(
            f"output '{name}' of the model server has dtype number {tensor.dtype}, expected one of "
            f"{[one.value for one in DataType]}. Serve a model that Loupe exported."
        ) from error
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    try:
        return _read_values(tensor, data_type).reshape(shape)
    except ValueError as error:
        raise UpstreamError(
            f"output '{name}' of the model server does not fit its shape {shape}: {error}. "
            "Check which server answers at this address."
        ) from error


def _read_values(tensor: Any, data_type: DataType) -> NDArray[Any]:
    numpy_type = _NUMPY_TYPES[data_type]
    if tensor.tensor_content and data_type is not DataType.STRING:
        return np.frombuffer(tensor.tensor_content, numpy_type)
    return np.array(getattr(tensor, _VALUE_FIELDS[data_type]), numpy_type)
