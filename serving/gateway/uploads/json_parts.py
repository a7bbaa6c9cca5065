"""JSON that is large because of what it holds, not because of how many things it is made of."""

from typing import Final

from serving.gateway.errors import BadRequestError

# Every value but the first stands behind one of these.
_STRUCTURE: Final = (b",", b"[", b"{", b":")


def check_parts(body: bytes, most: int, *, accepted: str, fix: str) -> None:
    """Refuse a body that would become too many objects; to be asked before it is parsed.

    Ten million empty lists are 30 MB of text and a gigabyte of objects.

    Args:
        body: the whole body.
        most: how many commas, colons and opening brackets it may have, those in strings included.
        accepted: what is accepted instead, for the message.
        fix: what the caller can do.

    Raises:
        BadRequestError: it has more.
    """
    marks = sum(body.count(mark) for mark in _STRUCTURE)
    if marks > most:
        raise BadRequestError(
            "the JSON body has too many parts",
            got=f"{marks} commas, colons and brackets",
            accepted=f"at most {most}: {accepted}",
            fix=fix,
        )
