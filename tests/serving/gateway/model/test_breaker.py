import asyncio

import pytest

from serving.gateway.model.breaker import Breaker, BreakerOpenError, BreakerState


class Server:
    """What is behind the breaker: fails or not, and counts."""

    def __init__(self, clock, max_failures=3, open_seconds=2.0):
        self.clock, self.calls, self.opened = clock, 0, 0
        self.breaker = Breaker(
            max_failures,
            open_seconds,
            failures=(ConnectionError,),
            on_open=self._count_opening,
            clock=self.clock,
        )

    def _count_opening(self):
        self.opened += 1

    def call(self, error=None):
        with self.breaker.watch():
            self.calls += 1
            if error:
                raise error

    def fail(self, times=1):
        for _ in range(times):
            with pytest.raises(ConnectionError):
                self.call(ConnectionError())


def test_it_opens_after_failures_in_a_row(clock):
    server = Server(clock)
    server.fail(2)
    assert server.breaker.state is BreakerState.CLOSED
    server.fail()
    assert server.breaker.state is BreakerState.OPEN
    with pytest.raises(BreakerOpenError, match="did not answer 3 times in a row") as caught:
        server.call()
    assert caught.value.headers == {"Retry-After": "2"}
    assert caught.value.http_status == 503
    assert (server.calls, server.opened) == (3, 1)


def test_an_answer_in_between_starts_the_count_again(clock):
    server = Server(clock)
    for _ in range(3):
        server.fail(2)
        server.call()
    assert server.breaker.state is BreakerState.CLOSED


def test_other_errors_are_answers(clock):
    server = Server(clock)
    server.fail(2)
    with pytest.raises(ValueError, match="bad image"):
        server.call(ValueError("bad image"))
    server.fail(2)
    assert server.breaker.state is BreakerState.CLOSED


def test_one_call_is_tried_when_the_time_is_over(clock):
    server = Server(clock)
    server.fail(3)
    server.clock.now += 2.0
    assert server.breaker.state is BreakerState.HALF_OPEN
    with server.breaker.watch():
        with pytest.raises(BreakerOpenError):
            server.call()
        assert server.breaker.state is BreakerState.HALF_OPEN
    assert server.breaker.state is BreakerState.CLOSED
    server.fail(2)
    assert server.breaker.state is BreakerState.CLOSED


def test_a_trial_that_fails_opens_it_again(clock):
    server = Server(clock)
    server.fail(3)
    server.clock.now += 2.0
    server.fail()
    assert server.breaker.state is BreakerState.OPEN
    assert server.opened == 2
    server.clock.now += 1.9
    with pytest.raises(BreakerOpenError):
        server.call()


def test_a_cancelled_trial_lets_the_next_one_try(clock):
    server = Server(clock)
    server.fail(3)
    server.clock.now += 2.0
    with pytest.raises(asyncio.CancelledError):
        server.call(asyncio.CancelledError())
    assert server.breaker.state is BreakerState.HALF_OPEN
    server.call()
    assert server.breaker.state is BreakerState.CLOSED


def test_late_answers_of_calls_from_before_do_not_close_it(clock):
    server = Server(clock)
    late = server.breaker.watch()
    late.__enter__()
    server.fail(3)
    late.__exit__(None, None, None)
    assert server.breaker.state is BreakerState.OPEN


def test_late_failures_do_not_keep_it_open_longer(clock):
    server = Server(clock)
    late = server.breaker.watch()
    late.__enter__()
    server.fail(3)
    server.clock.now += 1.5
    error = ConnectionError()
    assert not late.__exit__(ConnectionError, error, None)
    server.clock.now += 0.5
    assert server.breaker.state is BreakerState.HALF_OPEN
    assert server.opened == 1
