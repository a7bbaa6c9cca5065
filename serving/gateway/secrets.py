"""The secret that API keys are hashed with and console sessions are signed with."""

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from configs.errors import ConfigError
from serving.gateway.private_files import temporary_file
from serving.gateway.settings import GatewaySettings

FILE_NAME: Final = "key_secret"
MIN_LENGTH: Final = 32
"""Characters: 128 bits when they are hexadecimal."""

_SETTING: Final = "LOUPE_GATEWAY_KEY_SECRET"
_FIX: Final = f"Give one with `openssl rand -hex 32`, in {_SETTING}."


def read_key_secret(settings: GatewaySettings) -> bytes:
    """Find the secret: the configured one, or one that is made once in the state folder.

    Args:
        settings: `key_secret` and `state_folder`.

    Returns:
        The secret.

    Raises:
        ConfigError: the secret is too short, or its file cannot be read, written or trusted.
    """
    if settings.key_secret is not None:
        return _checked(settings.key_secret.get_secret_value(), _SETTING)
    file = settings.state_folder / FILE_NAME
    try:
        if not file.exists():
            _make_file(file)
        return _checked(_read_private(file), f"'{file}'")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"key secret '{file}' cannot be used: {error}. {_FIX}") from error


def derive_secret(secret: bytes, purpose: str) -> bytes:
    """Make a secret for one purpose, so that what leaks from one tells nothing of another.

    Args:
        secret: of `read_key_secret`.
        purpose: a name, such as `console session`.

    Returns:
        32 bytes.
    """
    return hmac.digest(secret, purpose.encode(), hashlib.sha256)


def _checked(text: str, place: str) -> bytes:
    if len(text) < MIN_LENGTH:
        raise ConfigError(
            f"key secret in {place} has {len(text)} characters, expected at least {MIN_LENGTH}. "
            f"{_FIX}"
        )
    return text.encode()


def _read_private(file: Path) -> str:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"key secret '{file}' has the rights {mode:03o}, expected 600: others could read it. "
            f"Run chmod 600 '{file}'; if somebody may have read it, remove it and make new keys."
        )
    return file.read_text(encoding="ascii").strip()


def _make_file(file: Path) -> None:
    # A link, not a rename: of several processes that start at once, the first one wins.
    with (
        temporary_file(file, f"{secrets.token_hex(32)}\n") as temporary,
        contextlib.suppress(FileExistsError),
    ):
        os.link(temporary, file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
