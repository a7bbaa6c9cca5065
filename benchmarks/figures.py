"""What a benchmark measured, and whether that reaches its goal."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from configs.errors import ConfigError


class Verdict(StrEnum):
    """How a figure compares with its goal."""

    REACHED = "reached"
    NOT_REACHED = "NOT REACHED"
    NO_GOAL = ""


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: what was measured, in words.
        value: the number.
        unit: its unit; empty for a ratio.
        goal: the largest value that is good enough; None when nothing was promised.
    """

    name: str
    value: float
    unit: str = ""
    goal: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the goal is reached; a value that is no number never reaches one."""
        if self.goal is None:
            return Verdict.NO_GOAL
        return Verdict.REACHED if self.value <= self.goal else Verdict.NOT_REACHED


@dataclass(frozen=True)
class Result:
    """What one benchmark came to.

    Attributes:
        name: name of the benchmark.
        figures: its numbers, those with goals first.
        details: everything that was measured, for programs.
    """

    name: str
    figures: list[Figure]
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def missed(self) -> list[Figure]:
        """Figures whose goal was not reached."""
        return [figure for figure in self.figures if figure.verdict is Verdict.NOT_REACHED]


def ratio(ours: float, peers: float) -> float:
    """Divide a cost of ours by the peer's.

    Args:
        ours: what Loupe cost.
        peers: what the peer cost, above 0.

    Returns:
        How many times the peer's cost ours is.

    Raises:
        ConfigError: the peer's cost is not above 0.
    """
    if not peers > 0:
        raise ConfigError(
            f"a ratio to the peer's cost of {peers} means nothing, expected more than 0. "
            "Check that the peer ran."
        )
    return ours / peers


def mebibytes(num_bytes: float) -> float:
    """Convert bytes.

    Args:
        num_bytes: bytes.

    Returns:
        MiB.
    """
    return num_bytes / (1 << 20)
