import pytest

from serving.gateway.fallback_reviews import FallbackReviews
from serving.gateway.records import ReviewReason
from serving.gateway.rules import Decision

ONLY = Decision("unknown", (ReviewReason.FALLBACK,))
SPENT = Decision("unknown", ())


def admit(reviews, times, per_hour):
    return [reviews.limit(ONLY, per_hour) == ONLY for _ in range(times)]


def test_so_many_wait_in_any_hour(clock):
    reviews = FallbackReviews(1, clock)
    assert admit(reviews, 3, per_hour=3) == [True] * 3
    clock.now += 3599
    assert reviews.limit(ONLY, 3) == SPENT
    clock.now += 1
    assert admit(reviews, 4, per_hour=3) == [True, True, True, False]


def test_a_changed_rule_counts_at_once(clock):
    reviews = FallbackReviews(1, clock)
    assert admit(reviews, 2, per_hour=1) == [True, False]
    assert admit(reviews, 3, per_hour=3) == [True, True, False]
    assert admit(reviews, 1, per_hour=0) == [False]


def test_nothing_waits_when_none_may(clock):
    assert FallbackReviews(1, clock).limit(ONLY, 0) == SPENT


def test_workers_share_evenly(clock):
    assert admit(FallbackReviews(3, clock), 4, per_hour=9) == [True, True, True, False]
    assert admit(FallbackReviews(3, clock), 2, per_hour=1) == [True, False]


@pytest.mark.parametrize(
    "reasons",
    [(), (ReviewReason.DENIED,), (ReviewReason.FALLBACK, ReviewReason.PROBABILITY)],
)
def test_answers_with_other_reasons_are_not_limited(clock, reasons):
    reviews, decision = FallbackReviews(1, clock), Decision("mug", reasons)
    assert reviews.limit(decision, 0) is decision
    assert admit(reviews, 1, per_hour=1) == [True]
