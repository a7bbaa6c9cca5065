"""Takes secrets and pictures out of what is about to be logged."""

import functools
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, cast

HIDDEN: Final = "***"
MAX_TEXT_CHARACTERS: Final = 8000
MAX_ITEMS: Final = 50

_MAX_DEPTH: Final = 5
_MAX_READ: Final = 8 * MAX_TEXT_CHARACTERS
_CUT: Final = "[...]"
_SECRET_NAMES: Final = re.compile(
    r"authorization|api[-_]?key|cookie|password|secret|token|credential|csrf|signature|jwt",
    re.IGNORECASE,
)
_SAFE_NAMES: Final = frozenset({"key_id", "tokens"})
_PATTERNS: Final = (
    (re.compile(r"(lk_[0-9a-f]{12})_[0-9a-zA-Z]+"), rf"\1_{HIDDEN}"),
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.?[\w-]*"), HIDDEN),
    (re.compile(r"\b(Bearer|Basic)\s+[^\s'\",]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"(\w+://[^\s:/@]*):[^\s@]+@"), rf"\1:{HIDDEN}@"),
    # What bytes look like in the text of an exception, and a picture in base64.
    (re.compile(r"\bb'(?:\\.|[^'\\]){24,}'|\bb\"(?:\\.|[^\"\\]){24,}\""), "<bytes>"),
    (re.compile(r"[A-Za-z0-9+/]{160,}={0,2}"), "<base64>"),
)

# One search instead of six replacements: nearly every text has nothing of all this.
_SUSPECT: Final = re.compile(r"lk_|eyJ|bearer|basic|://|b['\"]|[A-Za-z0-9+/]{160}", re.IGNORECASE)


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Clean a log line; a processor of structlog, to stand right before the renderer.

    Args:
        event: the fields of the line.

    Returns:
        The same fields; secrets are `***`, bytes are their number, long text is cut.
    """
    return {name: _redact_field(name, value, depth=0) for name, value in event.items()}


def redact_text(text: str) -> str:
    """Clean text.

    Args:
        text: a message, a traceback, anything.

    Returns:
        The text without keys, tokens, passwords of URLs, bytes and base64; of long text, its
        beginning and its end.
    """
    if len(text) <= MAX_TEXT_CHARACTERS and not _SUSPECT.search(text):
        return text
    shown = text
    if len(text) > _MAX_READ:
        # Whole words only: half a secret has not the form of one.
        head, tail = text[: _MAX_READ // 2], text[-_MAX_READ // 2 :]
        shown = f"{head.rpartition(' ')[0]} {_CUT} {tail.partition(' ')[2]}"
    for pattern, replacement in _PATTERNS:
        shown = pattern.sub(replacement, shown)
    if len(shown) > MAX_TEXT_CHARACTERS:
        # The end of a traceback says more than its beginning.
        head, tail = MAX_TEXT_CHARACTERS // 4, MAX_TEXT_CHARACTERS * 3 // 4
        shown = f"{shown[:head]} {_CUT} {shown[-tail:]}"
    return shown


def _redact_field(name: str, value: Any, *, depth: int) -> Any:
    if value is not None and _is_secret_name(name):
        return HIDDEN
    return _redact(value, depth=depth)


@functools.lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return name not in _SAFE_NAMES and _SECRET_NAMES.search(name) is not None


def _redact(value: Any, *, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        return redact_text(value)
    if depth >= _MAX_DEPTH:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        items = list(cast(Mapping[Any, Any], value).items())[:MAX_ITEMS]
        return {str(name): _redact_field(str(name), item, depth=depth + 1) for name, item in items}
    if isinstance(value, list | tuple | set | frozenset):
        listed = list(cast(list[Any], value))[:MAX_ITEMS]
        return [_redact(item, depth=depth + 1) for item in listed]
    return redact_text(str(value))
