"""API keys: `lk_<id>_<secret>`, of which the secret is shown once and only a hash is kept."""

import dataclasses
import hashlib
import hmac
import re
import secrets
from typing import Final

KEY_PREFIX: Final = "lk_"
KEY_PATTERN: Final = re.compile(r"lk_([0-9a-f]{12})_[0-9a-f]{64}", re.ASCII)
KEY_ID_PATTERN: Final = re.compile(r"[0-9a-f]{12}", re.ASCII)

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32


@dataclasses.dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made.

    Attributes:
        key_id: its public name: what lists, logs and records show.
        text: the whole key; nobody can show it again.
    """

    key_id: str
    text: str = dataclasses.field(repr=False)


def make_key(key_id: str = "") -> NewKey:
    """Make a key.

    Args:
        key_id: id of the key whose secret is replaced; empty for a new one.

    Returns:
        The key; its secret has 256 random bits.
    """
    key_id = key_id or secrets.token_hex(_ID_BYTES)
    return NewKey(key_id, f"{KEY_PREFIX}{key_id}_{secrets.token_hex(_SECRET_BYTES)}")


def parse_key_id(text: str) -> str | None:
    """Find the public id in a key.

    Args:
        text: what a caller sent.

    Returns:
        The id; None when the text has not the form of a key.
    """
    match = KEY_PATTERN.fullmatch(text)
    return match[1] if match else None


def hash_key(text: str, pepper: bytes) -> str:
    """Hash a key for storage; without the pepper a stolen table is of no use.

    The secret is random, so a fast hash is enough: there is nothing to guess.

    Args:
        text: the whole key, id included: a hash copied to another row matches nothing.
        pepper: the secret of `serving.gateway.secrets`.

    Returns:
        HMAC-SHA256, 64 hexadecimal digits.
    """
    return hmac.new(pepper, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def is_same_hash(stored: str, received: str) -> bool:
    """Compare two hashes in a time that does not tell where they differ.

    Args:
        stored: of the database.
        received: of what a caller sent.

    Returns:
        Whether they are equal.
    """
    return hmac.compare_digest(stored.encode(), received.encode())
