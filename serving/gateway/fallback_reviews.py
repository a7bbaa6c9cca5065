"""How many answers of a fallback wait for a human: an outage must not fill the queue."""

import collections
import time
from collections.abc import Callable
from typing import Final

from serving.gateway.records import ReviewReason
from serving.gateway.rules import Decision

_HOUR_SECONDS: Final = 3600.0


class FallbackReviews:
    """Lets so many through in any hour; the rest is answered and recorded all the same.

    Args:
        num_processes: of this gateway; each has its share.
        clock: seconds that never go back.
    """

    def __init__(self, num_processes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._num_processes = num_processes
        self._clock = clock
        self._admitted_at: collections.deque[float] = collections.deque()

    def limit(self, decision: Decision, per_hour: int) -> Decision:
        """Decide whether an answer waits for a human.

        Args:
            decision: of the rules; one that has another reason than the fallback is not limited.
            per_hour: most answers of all processes in an hour that have no other reason.

        Returns:
            The decision, without reasons when the hour's share is spent.
        """
        if decision.reasons != (ReviewReason.FALLBACK,) or self._admit(per_hour):
            return decision
        return Decision(decision.label, ())

    def _admit(self, per_hour: int) -> bool:
        now = self._clock()
        while self._admitted_at and self._admitted_at[0] <= now - _HOUR_SECONDS:
            self._admitted_at.popleft()
        share = -(-per_hour // self._num_processes)  # rounded up: 1 is not 0 for everybody
        if len(self._admitted_at) >= share:
            return False
        self._admitted_at.append(now)
        return True
