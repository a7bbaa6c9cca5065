"""Which text may become the name of a class, and so of a folder of training data."""

from typing import Final

from data.folders import SPLIT_NAMES
from serving.gateway.database.tables import LABEL_LENGTH
from serving.gateway.errors import UnprocessableError

PROVENANCE_NAME: Final = "provenance.jsonl"
"""A file that stands beside the folders of the classes."""
_MAX_NAME_BYTES: Final = 255


def check_label(label: str) -> str:
    """Refuse text that cannot name a class.

    Args:
        label: what a user, or a human who reviews, wrote.

    Returns:
        The label.

    Raises:
        UnprocessableError: it is empty, too long, has slashes or characters that cannot be
            printed, begins with a dot or a blank, ends with a blank, or is the name of a split or
            of the file of provenance.
    """
    problem = _find_problem(label)
    if problem:
        raise UnprocessableError(
            f"label {problem}.",
            got=ascii(label[:100]),
            accepted=f"the name of a class: 1 to {LABEL_LENGTH} printable characters",
            fix="Give one of the labels of GET /v1/models.",
        )
    return label


def _find_problem(label: str) -> str:
    if not label or len(label) > LABEL_LENGTH:
        return f"has {len(label)} characters"
    if not label.isprintable():
        return "has characters that cannot be printed"
    if len(label.encode()) > _MAX_NAME_BYTES:
        return f"has {len(label.encode())} bytes as UTF-8, more than {_MAX_NAME_BYTES}"
    if "/" in label or "\\" in label:
        return "has a slash"
    if label != label.strip() or label.startswith("."):
        return "begins with a dot or a blank, or ends with a blank"
    if label.lower() == PROVENANCE_NAME:
        return "is the name of a file that stands beside the classes"
    return "is the name of a split of training data" if label.lower() in SPLIT_NAMES else ""
