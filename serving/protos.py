"""Declares small protobuf messages in Python, for protos that no light package ships."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_Field = descriptor_pb2.FieldDescriptorProto

BOOL: Final = _Field.TYPE_BOOL
BYTES: Final = _Field.TYPE_BYTES
FLOAT: Final = _Field.TYPE_FLOAT
INT32: Final = _Field.TYPE_INT32
INT64: Final = _Field.TYPE_INT64
STRING: Final = _Field.TYPE_STRING
INT64_VALUE: Final = ".google.protobuf.Int64Value"
STRING_VALUE: Final = ".google.protobuf.StringValue"
BOOL_VALUE: Final = ".google.protobuf.BoolValue"


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        name: its name.
        kind: a scalar type of this module, a wrapper of it, or the name of another message of the
            same package.
        number: its number on the wire; 0 for its place in the message, counted from 1.
        is_repeated: whether it may occur several times.
    """

    name: str
    kind: int | str
    number: int = 0
    is_repeated: bool = False


def make_message_classes(
    package: str, messages: Mapping[str, tuple[Field, ...]]
) -> dict[str, type[Any]]:
    """Make classes of proto3 messages.

    They live in a pool of their own: a package that brings the same messages along does not clash.

    Args:
        package: proto package of the messages.
        messages: message name to its fields.

    Returns:
        Message name to its class.
    """
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    file = descriptor_pb2.FileDescriptorProto(
        name="loupe/messages.proto", package=package, syntax="proto3", dependency=[wrappers.name]
    )
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for place, field in enumerate(fields, start=1):
            label = _Field.LABEL_REPEATED if field.is_repeated else _Field.LABEL_OPTIONAL
            entry = message.field.add(name=field.name, number=field.number or place, label=label)
            if isinstance(field.kind, int):
                entry.type = field.kind  # pyright: ignore[reportAttributeAccessIssue]
            else:
                entry.type = _Field.TYPE_MESSAGE
                is_global = field.kind.startswith(".")
                entry.type_name = field.kind if is_global else f".{package}.{field.kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.SerializeToString())
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }
