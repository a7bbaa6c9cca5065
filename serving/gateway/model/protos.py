"""The part of TF Serving's wire protocol that the prediction API speaks.

The package that ships these messages requires all of TensorFlow. Field numbers are what counts on
the wire; a map is a repeated message of `key` and `value`.

Source: tensorflow_serving/apis/{model,predict,get_model_status}.proto,
tensorflow_serving/util/status.proto, tensorflow/core/framework/{tensor,tensor_shape}.proto.
"""

from enum import IntEnum
from typing import Any, Final

from serving.protos import BOOL, BYTES, FLOAT, INT32, INT64, INT64_VALUE, STRING, Field
from serving.protos import make_message_classes as _make_message_classes

PREDICT_METHOD: Final = "/tensorflow.serving.PredictionService/Predict"
STATUS_METHOD: Final = "/tensorflow.serving.ModelService/GetModelStatus"


class DataType(IntEnum):
    """The dtypes of TensorProto that the signatures use."""

    FLOAT = 1
    STRING = 7
    INT64 = 9
    BOOL = 10


class VersionState(IntEnum):
    """What a model server says about a version."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


_MESSAGES: Final[dict[str, Any]] = _make_message_classes(
    "tensorflow.serving",
    {
        "Dimension": (Field("size", INT64),),
        "TensorShape": (Field("dim", "Dimension", 2, is_repeated=True),),
        "Tensor": (
            Field("dtype", INT32, 1),
            Field("tensor_shape", "TensorShape", 2),
            Field("tensor_content", BYTES, 4),
            Field("float_val", FLOAT, 5, is_repeated=True),
            Field("string_val", BYTES, 8, is_repeated=True),
            Field("int64_val", INT64, 10, is_repeated=True),
            Field("bool_val", BOOL, 11, is_repeated=True),
        ),
        "NamedTensor": (Field("key", STRING), Field("value", "Tensor")),
        "ModelSpec": (
            Field("name", STRING, 1),
            Field("version", INT64_VALUE, 2),
            Field("signature_name", STRING, 3),
            Field("version_label", STRING, 4),
        ),
        "PredictRequest": (
            Field("model_spec", "ModelSpec"),
            Field("inputs", "NamedTensor", is_repeated=True),
            Field("output_filter", STRING, is_repeated=True),
        ),
        "PredictResponse": (
            Field("outputs", "NamedTensor", is_repeated=True),
            Field("model_spec", "ModelSpec"),
        ),
        "GetModelStatusRequest": (Field("model_spec", "ModelSpec"),),
        "Status": (Field("error_code", INT32), Field("error_message", STRING)),
        "VersionStatus": (
            Field("version", INT64),
            Field("state", INT32),
            Field("status", "Status"),
        ),
        "GetModelStatusResponse": (Field("model_version_status", "VersionStatus", 1, True),),
    },
)

PredictRequest: Final[Any] = _MESSAGES["PredictRequest"]
PredictResponse: Final[Any] = _MESSAGES["PredictResponse"]
GetModelStatusRequest: Final[Any] = _MESSAGES["GetModelStatusRequest"]
GetModelStatusResponse: Final[Any] = _MESSAGES["GetModelStatusResponse"]
