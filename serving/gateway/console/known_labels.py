"""The model's class names, also before this process has heard them."""

import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)


class KnownLabels:
    """Remembers class names in a file that all workers of one machine share.

    A process hears them with its first prediction. Without a memory, a review page of another
    process would give the same key to another class.
    """

    def __init__(self, file: Path, ask: Callable[[], Sequence[str]]) -> None:
        """Remember nothing yet.

        Args:
            file: where the names are kept.
            ask: gives the names in the model's order; empty while they are unknown.
        """
        self._file = file
        self._ask = ask
        self._known: list[str] = []

    def list_labels(self) -> Sequence[str]:
        """List the class names.

        Returns:
            Names in the model's order; empty while nobody has heard them.
        """
        heard = list(self._ask())
        try:
            if heard and heard != self._known:
                self._write(heard)
            elif not heard and not self._known:
                self._known = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            _log.warning("class names are not remembered", file=str(self._file), error=repr(error))
        return heard or self._known

    def _write(self, labels: list[str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_name(f"{self._file.name}.{secrets.token_hex(8)}")
        temporary.write_text(json.dumps(labels), encoding="utf-8")
        temporary.replace(self._file)
        self._known = labels
