"""Class order: the string domain of the label in the schema, and nothing else."""

from pathlib import Path
from typing import Any, Protocol

from google.protobuf import text_format

from configs.errors import DataError
from schema.features import LABEL

SCHEMA_FILENAME = "schema.pbtxt"
"""The one file of a Schema artifact."""


class TextFile(Protocol):
    """A path that text can be read from, on this machine or elsewhere."""

    def read_text(self, encoding: str) -> str:
        """Read the whole text.

        Args:
            encoding: of the text.
        """
        ...


def read_schema(path: str | TextFile) -> Any:
    """Read a TFMD schema from its text form.

    Args:
        path: a `.pbtxt` file.

    Returns:
        The `tensorflow_metadata` Schema message.

    Raises:
        DataError: the file is missing or is not a schema.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        text = (Path(path) if isinstance(path, str) else path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"schema '{path}' cannot be read: {error.strerror}.") from error
    try:
        return text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise DataError(
            f"schema '{path}' is not a TFMD schema: {error}. Mend it, or delete it and run "
            "`loupe schema freeze` again."
        ) from error


def labels_of_schema(schema: Any) -> list[str]:
    """Read the class names in the order of their ids.

    Args:
        schema: a TFMD Schema message.

    Returns:
        Class names; position 0 is `label_id` 0.

    Raises:
        DataError: the label has no string domain, or fewer than two classes.
    """
    for feature in schema.feature:
        if feature.name == LABEL:
            names = list(feature.string_domain.value)
            if not names:
                names = [
                    value
                    for domain in schema.string_domain
                    if domain.name == feature.domain
                    for value in domain.value
                ]
            if len(names) < 2:
                raise DataError(
                    f"schema: feature '{LABEL}' lists {len(names)} classes, expected at least 2. "
                    "Add classes to the data, or to the string domain of the curated schema."
                )
            return names
    raise DataError(f"schema: no feature '{LABEL}'. Freeze the schema again from a good run.")
