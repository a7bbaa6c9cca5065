import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from configs.errors import DataError
from schema.labels import labels_of_schema, read_schema


def schema_of(text):
    return text_format.Parse(text, schema_pb2.Schema())


def test_ids_follow_the_order_of_an_inline_domain():
    schema = schema_of('feature {name: "label" string_domain {value: "b" value: "a"}}')
    assert labels_of_schema(schema) == ["b", "a"]


def test_ids_follow_the_order_of_a_shared_domain():
    schema = schema_of(
        'feature {name: "label" domain: "d"} string_domain {name: "d" value: "z" value: "y"}'
    )
    assert labels_of_schema(schema) == ["z", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('feature {name: "label"}', "lists 0 classes, expected at least 2"),
        ('feature {name: "label" string_domain {value: "a"}}', "lists 1 classes"),
        ('feature {name: "other"}', "no feature 'label'"),
    ],
)
def test_a_schema_without_classes_is_an_error(text, message):
    with pytest.raises(DataError, match=message):
        labels_of_schema(schema_of(text))


def test_a_missing_schema_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_schema(tmp_path / "schema.pbtxt")


def test_a_broken_schema_is_an_error(tmp_path):
    path = tmp_path / "schema.pbtxt"
    path.write_text("feature {")
    with pytest.raises(DataError, match="is not a TFMD schema"):
        read_schema(path)
