"""The file of public keys that tokens are checked with; read again when it changes."""

import json
import time
from pathlib import Path
from typing import Any, Final, cast

import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from configs.errors import ConfigError

LOOK_SECONDS: Final = 1.0
"""How often the file is looked at; a new key works that soon."""

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
_log = structlog.stdlib.get_logger(__name__)


class KeySet:
    """The usable keys of a JWKS file, by their `kid`."""

    def __init__(self, file: Path, algorithm: str, *, look_seconds: float = LOOK_SECONDS) -> None:
        """Read the file.

        Args:
            file: a JSON Web Key Set.
            algorithm: the only algorithm; keys of others are left out.
            look_seconds: how often the file is looked at.

        Raises:
            ConfigError: the file cannot be read, or holds no usable key, or a secret one.
        """
        self._file = file
        self._algorithm = algorithm
        self._look_seconds = look_seconds
        self._stamp = self._read_stamp()
        self._keys = read_keys(file, algorithm)
        self._looked_at = time.monotonic()

    def find(self, kid: str) -> PyJWK | None:
        """Find a key.

        Args:
            kid: its name.

        Returns:
            The key; None when the file has none of that name.
        """
        if time.monotonic() - self._looked_at >= self._look_seconds:
            self._look()
        return self._keys.get(kid)

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        try:
            stamp = self._read_stamp()
            if stamp == self._stamp:
                return
            self._keys = read_keys(self._file, self._algorithm)
            self._stamp = stamp
        except ConfigError as error:
            # Half-written, or wrong: who has a token of the keys until now is let in still.
            _log.warning("the key set stays as it was", error=str(error))
            return
        _log.info("the key set was read again", keys=sorted(self._keys))

    def _read_stamp(self) -> tuple[int, int, int]:
        try:
            status = self._file.stat()
        except OSError as error:
            raise ConfigError(
                f"key set '{self._file}' cannot be read: {error}. Set "
                "LOUPE_GATEWAY_TOKEN__JWKS_FILE to a JSON Web Key Set."
            ) from error
        return status.st_mtime_ns, status.st_size, status.st_ino


def read_keys(file: Path, algorithm: str) -> dict[str, PyJWK]:
    """Read the keys that can check tokens.

    Args:
        file: a JSON Web Key Set.
        algorithm: the only algorithm.

    Returns:
        `kid` to key.

    Raises:
        ConfigError: the file cannot be read, or holds no usable key, or a secret one.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        listed = cast(list[dict[str, Any]], content["keys"])
        members = [each for each in listed if _is_meant(each, algorithm)]
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"key set '{file}' cannot be read: {type(error).__name__}: {error}. Expected JSON with "
            "a list 'keys', as an issuer publishes it."
        ) from error
    for member in members:
        if secret := _PRIVATE_MEMBERS & member.keys():
            raise ConfigError(
                f"key '{member['kid']}' of key set '{file}' is secret (it has '{min(secret)}'), "
                "expected public keys only. Take it out, and no longer use that key."
            )
    keys = {member["kid"]: key for member in members if (key := _make_key(member, algorithm))}
    if not keys:
        raise ConfigError(
            f"key set '{file}' has no key with a 'kid' for {algorithm}. Take the issuer's key set, "
            "or set LOUPE_GATEWAY_TOKEN__ALGORITHM to the algorithm of its keys."
        )
    return keys


def _is_meant(member: dict[str, Any], algorithm: str) -> bool:
    is_for_signatures = member.get("use", "sig") == "sig"
    is_named = isinstance(member.get("kid"), str)
    return is_named and is_for_signatures and member.get("alg", algorithm) == algorithm


def _make_key(member: dict[str, Any], algorithm: str) -> PyJWK | None:
    try:
        return PyJWK(member, algorithm)
    except PyJWTError:
        return None  # of another kind: key sets hold keys for several algorithms
