import asyncio
import contextlib
import time

import pytest

from serving.gateway.admission import Admission
from serving.gateway.errors import OverloadedError
from serving.gateway.settings import AdmissionSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
def crowd():
    """Function of an admission to tasks that hold a slot until they are let go."""
    tasks = []

    def crowd(admission, count):
        gate = asyncio.Event()

        async def hold(number, order):
            async with admission.slot():
                order.append(number)
                await gate.wait()

        order = []
        made = [asyncio.ensure_future(hold(number, order)) for number in range(count)]
        tasks.extend(made)
        return gate, made, order

    yield crowd
    for task in tasks:
        task.cancel()


def make(**limits):
    return Admission(AdmissionSettings(**limits))


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_are_in_progress_than_allowed_and_the_rest_waits_in_order(crowd):
    admission = make(max_concurrent=2, max_waiting=3, max_wait_seconds=30)
    gate, tasks, order = crowd(admission, 5)
    await settle()
    assert (admission.in_progress, admission.waiting, order) == (2, 3, [0, 1])
    gate.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert (admission.in_progress, admission.waiting) == (0, 0)


async def test_a_full_queue_refuses_at_once(crowd):
    admission = make(max_concurrent=1, max_waiting=1, max_wait_seconds=30)
    crowd(admission, 2)
    await settle()
    started = time.monotonic()
    with pytest.raises(OverloadedError, match="1 others wait already") as refusal:
        async with admission.slot():
            pass
    assert time.monotonic() - started < 0.2
    assert refusal.value.http_status == 503
    assert refusal.value.headers == {"Retry-After": "1"}
    assert (refusal.value.got, refusal.value.accepted) == (
        "1 images in progress",
        "1 in progress, 1 waiting",
    )


async def test_without_a_queue_nobody_waits(crowd):
    admission = make(max_concurrent=1, max_waiting=0)
    crowd(admission, 1)
    await settle()
    with pytest.raises(OverloadedError, match="0 others wait already"):
        async with admission.slot():
            pass


async def test_a_wait_that_is_too_long_ends_and_frees_its_place(crowd):
    admission = make(max_concurrent=1, max_waiting=1, max_wait_seconds=0.05)
    gate, tasks, _ = crowd(admission, 1)
    await settle()
    with pytest.raises(OverloadedError, match=r"no turn within 0\.05 s"):
        async with admission.slot():
            pass
    assert admission.waiting == 0
    gate.set()
    await asyncio.gather(*tasks)
    async with admission.slot() as waited_seconds:
        assert waited_seconds < 0.05


async def test_the_wait_is_told(crowd):
    admission = make(max_concurrent=1, max_waiting=1, max_wait_seconds=30)
    gate, _, _ = crowd(admission, 1)
    await settle()
    asyncio.get_running_loop().call_later(0.1, gate.set)
    async with admission.slot() as waited_seconds:
        assert 0.09 < waited_seconds < 5


async def test_a_block_that_fails_and_a_caller_who_leaves_give_their_slots_back(crowd):
    admission = make(max_concurrent=1, max_waiting=5, max_wait_seconds=30)
    with pytest.raises(ZeroDivisionError):
        async with admission.slot():
            raise ZeroDivisionError
    _, tasks, order = crowd(admission, 3)
    await settle()
    tasks[1].cancel()  # while it waits
    tasks[0].cancel()  # while it works
    with contextlib.suppress(asyncio.CancelledError):
        await tasks[0]
    await settle()
    assert (order, admission.in_progress, admission.waiting) == ([0, 2], 1, 0)


async def test_a_flood_never_exceeds_the_limits_and_leaks_nothing():
    admission = make(max_concurrent=4, max_waiting=8, max_wait_seconds=0.02)
    seen = []

    async def visit(number):
        try:
            async with admission.slot():
                seen.append(admission.in_progress)
                await asyncio.sleep(0.005 * (number % 4))
                return True
        except OverloadedError:
            return False

    tasks = []
    for number in range(300):
        tasks.append(asyncio.ensure_future(visit(number)))
        if number % 3 == 0:
            await asyncio.sleep(0.001)
        if number % 17 == 0:
            tasks[number // 2].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert max(seen) == 4
    assert True in answers
    assert False in answers
    assert (admission.in_progress, admission.waiting) == (0, 0)
    assert not admission._slots.locked()
