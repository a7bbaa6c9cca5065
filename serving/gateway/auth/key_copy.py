"""The last known keys on disk, for a gateway that starts while its database is down."""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import jwt
import structlog
from pydantic import TypeAdapter, ValidationError

from configs.errors import ConfigError
from serving.gateway.auth.key_store import KeyEntry, KeyState
from serving.gateway.private_files import temporary_file
from serving.gateway.secrets import derive_secret

FILE_NAME: Final = "last_known_keys"
REWRITE_TIME: Final = datetime.timedelta(minutes=1)
"""How often unchanged keys are written again: the file's age counts from its last word."""

_CLOCK_SKEW: Final = datetime.timedelta(minutes=5)
_ALGORITHM: Final = "HS256"
_ENTRIES: Final = TypeAdapter(list[KeyEntry])
_log = structlog.stdlib.get_logger(__name__)


class KeyCopy:
    """The keys that work, as the table had them, in a file of the state folder.

    It holds hashes, as the table does, and is signed: whoever can write the folder and does not
    know the key secret can neither add a key nor bring a revoked one back.
    """

    def __init__(
        self,
        state_folder: Path,
        pepper: bytes,
        *,
        database: str,
        max_age: datetime.timedelta,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        """Remember where it is; reads and writes nothing yet.

        Args:
            state_folder: of the gateway.
            pepper: what keys are hashed with.
            database: whose keys they are; those of another database count for nothing.
            max_age: how old it may be, above zero.
            now: the clock.
        """
        self.max_age = max_age
        self._file = state_folder / FILE_NAME
        self._secret = derive_secret(pepper, f"last known keys of {database}")
        self._now = now
        self._written: list[KeyEntry] | None = None
        self._written_at = now()

    def write(self, entries: Sequence[KeyEntry]) -> None:
        """Write the keys that work, where they have changed or the file grows old.

        Args:
            entries: the whole table. A file that cannot be written raises OSError.
        """
        now = self._now()
        active = [entry for entry in entries if entry.state(now) is KeyState.ACTIVE]
        if active == self._written and abs(now - self._written_at) < REWRITE_TIME:
            return
        claims = {"iat": now, "keys": _ENTRIES.dump_python(active, mode="json")}
        with temporary_file(
            self._file, jwt.encode(claims, self._secret, algorithm=_ALGORITHM)
        ) as temporary:
            temporary.replace(self._file)
        self._written, self._written_at = active, now

    def read(self) -> tuple[list[KeyEntry], datetime.timedelta] | None:
        """Read the keys.

        Returns:
            The keys and their age; None where there is no file, or none that may be believed.
        """
        try:
            claims = jwt.decode(
                self._file.read_text(encoding="ascii"),
                self._secret,
                algorithms=[_ALGORITHM],
                options={"require": ["iat"], "verify_iat": False},
            )
            written_at = datetime.datetime.fromtimestamp(claims["iat"], datetime.UTC)
            entries = _ENTRIES.validate_python(claims["keys"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, jwt.PyJWTError) as error:
            # A validation error would quote hashes.
            why = type(error).__name__ if isinstance(error, ValidationError) else repr(error)
            _log.warning("last known keys cannot be used", file=str(self._file), error=why)
            return None
        age = self._now() - written_at
        if not -_CLOCK_SKEW <= age <= self.max_age:
            _log.warning(
                "last known keys are too old or of the future",
                age_seconds=round(age.total_seconds()),
                max_seconds=self.max_age.total_seconds(),
            )
            return None
        return entries, max(age, datetime.timedelta(0))


def remove_copy(state_folder: Path) -> None:
    """Forget the last known keys; a gateway that runs writes them anew.

    Args:
        state_folder: of the gateway.

    Raises:
        ConfigError: they cannot be removed.
    """
    file = state_folder / FILE_NAME
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"'{file}' cannot be removed: {error}. A gateway that starts without its database "
            "would accept the keys in it; remove it as the user that the gateway runs as."
        ) from error
