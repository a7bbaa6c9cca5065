"""The stretches of time that charts show."""

import dataclasses
import datetime
import math
from typing import Final


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, cut into steps that begin at round moments.

    Attributes:
        name: as in addresses.
        title: as people read it.
        step_seconds: length of one step.
        num_steps: how many there are; the last one is still running.
    """

    name: str
    title: str
    step_seconds: int
    num_steps: int

    def start(self, now: datetime.datetime) -> int:
        """Tell when the first step begins.

        Args:
            now: the present, with a zone.

        Returns:
            Seconds since 1970, a multiple of the step.
        """
        running = math.floor(now.timestamp() / self.step_seconds)
        return (running - self.num_steps + 1) * self.step_seconds


WINDOWS: Final = (
    Window("15m", "15 minutes", 15, 60),
    Window("1h", "1 hour", 60, 60),
    Window("6h", "6 hours", 300, 72),
    Window("24h", "24 hours", 1200, 72),
)


def find_window(name: str) -> Window:
    """Choose a window.

    Args:
        name: as in an address, from anybody.

    Returns:
        The window of that name, or else the one of an hour.
    """
    return next((window for window in WINDOWS if window.name == name), WINDOWS[1])
