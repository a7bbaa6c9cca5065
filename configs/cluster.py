"""The contract of `TF_CONFIG`: which workers train together, and which of them this process is."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, cast

from configs.errors import ConfigError

VARIABLE: Final = "TF_CONFIG"
EXAMPLE: Final = (
    '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_ADDRESS: Final = re.compile(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?:(\d{1,5})")
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True)
class Cluster:
    """A set of workers that train one model.

    Attributes:
        workers: `host:port` of each worker; the first one writes what only one may write.
        index: which of them this process is.
    """

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Tell whether this worker writes models and logs.

        Returns:
            Whether it is the first.
        """
        return self.index == 0


def parse_cluster(text: str) -> Cluster:
    """Read the value of `TF_CONFIG`.

    TensorFlow reads it too, and takes nearly everything: a missing index becomes 0, so that two
    workers with one name wait for each other for ever. Here it is checked first.

    Args:
        text: JSON with `cluster` (`worker`: a list of `host:port`) and `task` (`type`: `worker`,
            `index`).

    Returns:
        The cluster.

    Raises:
        ConfigError: it is not that; the message says where.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(_refusal("it", text, "JSON")) from error
    top = _fields(value, "it", ("cluster", "task"))
    roles = _fields(top["cluster"], "cluster", ("worker",))
    task = _fields(top["task"], "task", ("type", "index"))
    if task["type"] != "worker":
        raise ConfigError(_refusal("task.type", task["type"], "'worker', the only kind of task"))
    workers = _addresses(roles["worker"])
    index = task["index"]
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(workers):
        raise ConfigError(_refusal("task.index", index, f"an integer from 0 to {len(workers) - 1}"))
    return Cluster(workers, index)


def _fields(value: Any, where: str, names: tuple[str, ...]) -> dict[str, Any]:
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if set(fields) != set(names):
        raise ConfigError(_refusal(where, value, f"an object of {' and '.join(names)}"))
    return fields


def _addresses(value: Any) -> tuple[str, ...]:
    addresses = cast("list[Any]", value) if isinstance(value, list) else []
    if not addresses:
        raise ConfigError(_refusal("cluster.worker", value, "a list of host:port"))
    for address in addresses:
        match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if match is None or not 0 < int(match[2]) <= _LARGEST_PORT:
            raise ConfigError(
                _refusal("cluster.worker", address, "host:port with a port from 1 to 65535")
            )
    if len(set(addresses)) != len(addresses):
        raise ConfigError(_refusal("cluster.worker", value, "no address twice"))
    return tuple(addresses)


def _refusal(where: str, got: Any, expected: str) -> str:
    return f"{VARIABLE}: {where} is {got!r}, expected {expected}. Such as: {EXAMPLE}"
