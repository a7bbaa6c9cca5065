"""Batching, with real models in this process."""

import asyncio
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.model_server.batching import BatchScheduler
from serving.model_server.batching_parameters import BatchingParameters
from serving.model_server.errors import Code, ServingError
from serving.model_server.flags import ServerFlags
from serving.model_server.loader import load_options, load_servable


def load(name, folder):
    return load_servable(name, 1, folder, load_options(ServerFlags(model_base_path="/m")))


@pytest.fixture(scope="module")
def affine(affine_folders):
    servable = load("affine", affine_folders[2])
    yield servable
    servable.close()


@pytest.fixture(scope="module")
def zoo(zoo_folder):
    servable = load("zoo", zoo_folder)
    yield servable
    servable.close()


class Lab:
    """A scheduler, the calls to it, and what it reported."""

    def __init__(self, **parameters):
        self.parameters = BatchingParameters(**parameters)
        self.reports = []

    def run(self, scenario):
        """Run a coroutine function of this lab, and end the threads."""

        async def run():
            loop = asyncio.get_running_loop()
            self.scheduler = BatchScheduler(self.parameters, loop, self.reports.append)
            try:
                return await scenario(self)
            finally:
                await asyncio.to_thread(self.scheduler.close)

        return asyncio.run(run())

    async def call(self, servable, name="", timeout_ms=0, outputs=(), **inputs):
        signature = servable.signature(name)
        assert servable.try_lease()
        try:
            return await self.scheduler.run(
                servable,
                signature,
                inputs,
                signature.choose_outputs(outputs),
                timeout_ms,
                self.parameters,
            )
        finally:
            servable.release()

    async def start(self, *args, **kwargs):
        """Begin a call, which is in the queue when this returns."""
        task = asyncio.create_task(self.call(*args, **kwargs))
        await asyncio.sleep(0)
        return task

    async def occupy(self, affine, gate):
        """Keep a thread busy until the gate opens."""
        task = await self.start(affine, "hold", gate=np.array([str(gate.path).encode()], object))
        await asyncio.to_thread(gate.wait_until_reached)
        return task


def floats(*values):
    return np.array(values, np.float32)


async def error_of(call):
    with pytest.raises(ServingError) as caught:
        await call
    return caught.value


def test_requests_that_wait_for_a_thread_run_as_one_batch(affine, gate):
    lab = Lab(num_batch_threads=1, thread_pool_name="pool")

    async def scenario(lab):
        busy = await lab.occupy(affine, gate)
        calls = [await lab.start(affine, x=np.arange(n, dtype=np.float32)) for n in (1, 2, 3)]
        gate.open()
        await busy
        return [answer["y"].tolist() for answer in await asyncio.gather(*calls)]

    assert lab.run(scenario) == [[2.0], [2.0, 2.5], [2.0, 2.5, 3.0]]
    _, report = lab.reports
    assert report.thread_pool_name == "pool"
    assert report.input_batch_sizes == (1, 2, 3)
    assert (report.processed_batch_size, report.padding_size) == (6, 0)
    assert len(report.queuing_seconds) == 3
    assert all(seconds > 0 for seconds in report.queuing_seconds)


def test_a_lone_request_does_not_wait_without_a_timeout(affine):
    lab = Lab()
    assert lab.run(lambda lab: lab.call(affine, x=floats(4)))["y"].tolist() == [4.0]
    assert lab.reports[0].queuing_seconds[0] < 1


def test_a_batch_waits_for_its_timeout(affine):
    lab = Lab(batch_timeout_micros=50_000)
    lab.run(lambda lab: lab.call(affine, x=floats(4)))
    assert 0.05 <= lab.reports[0].queuing_seconds[0] < 5


def test_a_full_batch_does_not_wait_for_its_timeout(affine):
    lab = Lab(batch_timeout_micros=60_000_000, max_batch_size=4)
    started = time.monotonic()
    lab.run(lambda lab: asyncio.gather(*[lab.call(affine, x=floats(1, 2)) for _ in range(2)]))
    assert time.monotonic() - started < 30
    assert lab.reports[0].input_batch_sizes == (2, 2)


def test_a_batch_is_closed_by_a_request_that_does_not_fit(affine):
    lab = Lab(batch_timeout_micros=60_000_000, max_batch_size=4)

    async def scenario(lab):
        first = await lab.start(affine, x=floats(1, 2, 3))
        second = await lab.start(affine, x=floats(1, 2))
        await first
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second

    lab.run(scenario)
    assert [report.input_batch_sizes for report in lab.reports] == [(3,)]


def test_batches_are_padded_to_allowed_sizes(zoo):
    lab = Lab(max_batch_size=8, allowed_batch_sizes=(4, 8))
    answer = lab.run(lambda lab: lab.call(zoo, "text", text=np.array([b"a", b"b", b"c"], object)))
    assert answer["text"].tolist() == [b"a", b"b", b"c"]
    assert (lab.reports[0].processed_batch_size, lab.reports[0].padding_size) == (4, 1)


def test_a_large_request_is_split(affine):
    lab = Lab(max_batch_size=8, enable_large_batch_splitting=True, max_execution_batch_size=3)
    answer = lab.run(lambda lab: lab.call(affine, x=np.arange(8, dtype=np.float32)))
    assert answer["y"].tolist() == [2 + x / 2 for x in range(8)]
    assert sorted(report.processed_batch_size for report in lab.reports) == [2, 3, 3]
    assert sorted(report.input_batch_sizes for report in lab.reports) == [(), (), (8,)]


def test_the_first_piece_of_a_large_request_fills_the_open_batch(affine, gate):
    lab = Lab(
        max_batch_size=8,
        enable_large_batch_splitting=True,
        max_execution_batch_size=4,
        num_batch_threads=1,
    )

    async def scenario(lab):
        await lab.occupy(affine, gate)
        calls = [await lab.start(affine, x=np.arange(n, dtype=np.float32)) for n in (3, 6)]
        gate.open()
        return [answer["y"].tolist() for answer in await asyncio.gather(*calls)]

    assert lab.run(scenario) == [[2, 2.5, 3], [2, 2.5, 3, 3.5, 4, 4.5]]
    assert [report.processed_batch_size for report in lab.reports] == [1, 4, 4, 1]


@pytest.mark.parametrize(
    ("is_split", "message"),
    [
        (
            False,
            "The batch scheduling queue to which this task was submitted is full; currently 1 "
            "batches enqueued and max_enqueued_batches is 1",
        ),
        (True, "is full; task size is 2 but scheduling capacity is only 1 (num_enqueued_batches"),
    ],
)
def test_a_full_queue_is_unavailable_until_there_is_room(affine, gate, is_split, message):
    lab = Lab(
        max_batch_size=4,
        max_enqueued_batches=1,
        num_batch_threads=1,
        enable_large_batch_splitting=is_split,
    )

    async def scenario(lab):
        await lab.occupy(affine, gate)
        waiting = await lab.start(affine, x=floats(1, 2, 3))
        error = await error_of(lab.call(affine, x=floats(1, 2)))
        last_place = await lab.start(affine, x=floats(1))
        gate.open()
        await asyncio.gather(waiting, last_place)
        await lab.call(affine, x=floats(1))
        return error

    error = lab.run(scenario)
    assert error.code is Code.UNAVAILABLE
    assert message in error.message


def test_a_large_request_needs_room_for_all_of_its_pieces(affine, gate):
    lab = Lab(
        max_batch_size=8,
        max_enqueued_batches=2,
        num_batch_threads=1,
        enable_large_batch_splitting=True,
        max_execution_batch_size=4,
    )

    async def scenario(lab):
        await lab.occupy(affine, gate)
        waiting = await lab.start(affine, x=floats(1, 2, 3))
        error = await error_of(lab.call(affine, x=np.zeros(6, np.float32)))
        fits = await lab.start(affine, x=np.zeros(5, np.float32))
        gate.open()
        await asyncio.gather(waiting, fits)
        return error

    error = lab.run(scenario)
    assert error.code is Code.UNAVAILABLE
    assert "task size is 6 but scheduling capacity is only 5" in error.message


@pytest.mark.parametrize(
    ("name", "inputs", "code", "message"),
    [
        (
            "",
            {"x": np.zeros((5, 2), np.float32)},
            Code.INVALID_ARGUMENT,
            "Task size 5 is larger than maximum input batch size 4",
        ),
        ("uneven", {"x": np.float32(1)}, Code.INVALID_ARGUMENT, "must have at least one dimension"),
        (
            "pair",
            {"a": floats(1), "b": np.int32([1, 2])},
            Code.INVALID_ARGUMENT,
            "must have equal 0th-dimension size",
        ),
        (
            "uneven",
            {"x": floats(1)},
            Code.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal",
        ),
    ],
)
def test_requests_that_cannot_be_batched(zoo, name, inputs, code, message):
    error = Lab(max_batch_size=4).run(lambda lab: error_of(lab.call(zoo, name, **inputs)))
    assert error.code is code
    assert message in error.message


def test_a_misshapen_request_fails_alone(zoo, affine, gate):
    lab = Lab(num_batch_threads=1)

    async def scenario(lab):
        await lab.occupy(affine, gate)
        good = await lab.start(zoo, x=floats([1, 2]))
        bad = await lab.start(zoo, x=floats(1))
        also_good = await lab.start(zoo, x=floats([3, 4]))
        gate.open()
        error = await error_of(bad)
        return error, (await good)["sum"].tolist(), (await also_good)["sum"].tolist()

    error, first, second = lab.run(scenario)
    assert error.code is Code.INVALID_ARGUMENT
    assert "Invalid reduction dimension" in error.message
    assert (first, second) == ([3.0], [7.0])


def test_a_request_whose_values_fail_an_op_fails_alone(zoo, affine, gate):
    lab = Lab(num_batch_threads=1)

    async def scenario(lab):
        await lab.occupy(affine, gate)
        calls = [await lab.start(zoo, "fail", n=np.int32([n])) for n in (1, 1, 2, 1, 1)]
        gate.open()
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = lab.run(scenario)
    assert [report.processed_batch_size for report in lab.reports] == [1, 5]
    assert [isinstance(answer, ServingError) for answer in answers] == [False] * 2 + [
        True,
        False,
        False,
    ]
    assert answers[2].code is Code.INVALID_ARGUMENT
    assert "n must be one" in answers[2].message
    assert answers[4]["n"].tolist() == [1]


def test_a_request_that_waited_past_its_deadline_is_told(affine, gate):
    lab = Lab(num_batch_threads=1)

    async def scenario(lab):
        await lab.occupy(affine, gate)
        late = await lab.start(affine, x=floats(1), timeout_ms=20)
        await asyncio.sleep(0.05)
        gate.open()
        return await error_of(late)

    error = lab.run(scenario)
    assert error.code is Code.RESOURCE_EXHAUSTED
    assert error.message == "Run() timeout exceeded while waiting in batching queue"


def test_the_most_patient_request_of_a_batch_decides(affine, gate):
    lab = Lab(num_batch_threads=1)

    async def scenario(lab):
        await lab.occupy(affine, gate)
        late = await lab.start(affine, x=floats(1), timeout_ms=20)
        patient = await lab.start(affine, x=floats(2), timeout_ms=60_000)
        await asyncio.sleep(0.05)
        gate.open()
        return [answer["y"].tolist() for answer in await asyncio.gather(late, patient)]

    assert lab.run(scenario) == [[2.5], [3.0]]


def test_a_time_limit_ends_a_batch(affine, gate):
    name = np.array([str(gate.path).encode()], object)
    lab = Lab()
    error = lab.run(lambda lab: error_of(lab.call(affine, "hold", timeout_ms=100, gate=name)))
    assert error.code is Code.DEADLINE_EXCEEDED


def test_a_cancelled_request_leaves_the_queue(affine, gate):
    lab = Lab(num_batch_threads=1, max_enqueued_batches=1, max_batch_size=2)

    async def scenario(lab):
        await lab.occupy(affine, gate)
        stays = await lab.start(affine, x=floats(1))
        leaves = await lab.start(affine, x=floats(2))
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        comes = await lab.start(affine, x=floats(3))
        gate.open()
        return [answer["y"].tolist() for answer in await asyncio.gather(stays, comes)]

    assert lab.run(scenario) == [[2.5], [3.5]]
    assert lab.reports[1].input_batch_sizes == (1, 1)


def test_a_batch_without_callers_never_runs(affine, gate):
    lab = Lab(num_batch_threads=1)

    async def scenario(lab):
        busy = await lab.occupy(affine, gate)
        leaves = await lab.start(affine, x=floats(2))
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        gate.open()
        await busy

    lab.run(scenario)
    assert len(lab.reports) == 1


def test_a_version_is_kept_until_the_batch_of_a_cancelled_call_ends(affine, gate):
    async def scenario(lab):
        busy = await lab.occupy(affine, gate)
        busy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await busy
        was_idle = affine.is_idle()
        gate.open()
        return was_idle

    assert not Lab(num_batch_threads=1).run(scenario)
    assert affine.is_idle()


def test_threads_go_round_the_queues(affine, zoo, gate):
    lab = Lab(num_batch_threads=1, max_batch_size=1)
    order = []

    async def scenario(lab):
        await lab.occupy(affine, gate)
        calls = [await lab.start(affine, x=floats(1)) for _ in range(3)]
        calls.append(await lab.start(zoo, "inverse", x=floats(1)))
        for letter, call in zip("abcz", calls, strict=True):
            call.add_done_callback(lambda _, letter=letter: order.append(letter))
        gate.open()
        await asyncio.gather(*calls)

    lab.run(scenario)
    assert order == ["a", "z", "b", "c"]


def test_another_thread_watches_the_clock_while_one_is_busy(affine, zoo, gate):
    lab = Lab(num_batch_threads=2, batch_timeout_micros=50_000)

    async def scenario(lab):
        name = np.array([str(gate.path).encode()], object)
        busy = await lab.start(affine, "hold", gate=name)
        later = await lab.start(zoo, "inverse", x=floats(2))
        answer = await asyncio.wait_for(later, 30)
        await asyncio.to_thread(gate.wait_until_reached)
        was_busy = not busy.done()
        gate.open()
        await busy
        return was_busy, answer["y"].tolist()

    assert lab.run(scenario) == (True, [0.5])


def test_a_patient_queue_does_not_hold_up_another(affine, zoo):
    lab = Lab(batch_timeout_micros=60_000_000)

    async def scenario(lab):
        patient = await lab.start(affine, x=floats(1))
        await asyncio.sleep(0.01)
        lab.parameters = BatchingParameters(batch_timeout_micros=0)
        answer = await asyncio.wait_for(lab.call(zoo, "inverse", x=floats(2)), 30)
        waits = not patient.done()
        patient.cancel()
        return waits, answer["y"].tolist()

    assert lab.run(scenario) == (True, [0.5])


def test_requests_that_arrive_together_run_together(affine):
    lab = Lab(num_batch_threads=2)

    async def scenario(lab):
        await asyncio.gather(*[lab.call(affine, x=floats(n)) for n in range(20)])

    lab.run(scenario)
    assert [report.input_batch_sizes for report in lab.reports] == [(1,) * 20]


def test_cancelling_some_calls_disturbs_no_others(affine):
    lab = Lab(max_batch_size=5, max_enqueued_batches=1000, batch_timeout_micros=200)
    chance = random.Random(5)

    async def scenario(lab):
        calls = {}
        for number in range(400):
            calls[number] = await lab.start(affine, x=floats(number))
            if chance.random() < 0.4:
                calls[chance.randrange(number + 1)].cancel()
        answers = await asyncio.gather(*calls.values(), return_exceptions=True)
        return list(zip(calls, answers, strict=True))

    answers = lab.run(scenario)
    answered = [(n, a["y"].tolist()) for n, a in answers if isinstance(a, dict)]
    assert answered == [(number, [number / 2 + 2]) for number, _ in answered]
    cancelled = [a for _, a in answers if isinstance(a, asyncio.CancelledError)]
    assert len(answered) + len(cancelled) == 400
    assert answered
    assert cancelled
    assert affine.is_idle()


def test_outputs_are_chosen_per_queue(zoo, affine, gate):
    lab = Lab(num_batch_threads=1)
    inputs = {"a": floats(1), "b": np.int32([2])}

    async def scenario(lab):
        await lab.occupy(affine, gate)
        everything = await lab.start(zoo, "pair", **inputs)
        filtered = await lab.start(zoo, "pair", outputs=("twice",), **inputs)
        gate.open()
        return set(await everything), set(await filtered)

    assert lab.run(scenario) == ({"sum", "twice"}, {"twice"})


def test_two_models_do_not_mix(affine, affine_folders):
    other = load("other", affine_folders[3])

    async def scenario(lab):
        calls = [lab.call((affine, other)[n % 2], x=floats(0)) for n in range(100)]
        return [answer["y"].item() for answer in await asyncio.gather(*calls)]

    assert Lab().run(scenario) == [2.0, 3.0] * 50
    other.close()


def test_a_request_without_rows_is_answered_without_rows(affine):
    lab = Lab(max_batch_size=4, allowed_batch_sizes=(4,))
    assert lab.run(lambda lab: lab.call(affine, x=np.zeros(0, np.float32)))["y"].shape == (0,)


MODES = st.sampled_from([
    {},
    {"allowed_batch_sizes": (3, 8)},
    {"enable_large_batch_splitting": True, "max_execution_batch_size": 3},
    {
        "enable_large_batch_splitting": True,
        "max_execution_batch_size": 5,
        "allowed_batch_sizes": (1, 4, 8),
    },
])


@settings(max_examples=60, deadline=None)
@given(
    mode=MODES,
    can_pad=st.booleans(),
    timeout=st.sampled_from([0, 300]),
    shapes=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 3)), min_size=1, max_size=20),
)
def test_everyone_gets_exactly_their_own_rows(zoo, mode, can_pad, timeout, shapes):
    values = [
        np.arange(rows * columns, dtype=np.float32).reshape(rows, columns) + 1000 * number
        for number, (rows, columns) in enumerate(shapes)
    ]
    lab = Lab(
        max_batch_size=8,
        max_enqueued_batches=1000,
        pad_variable_length_inputs=can_pad,
        batch_timeout_micros=timeout,
        **mode,
    )
    answers = lab.run(
        lambda lab: asyncio.gather(*[lab.call(zoo, "echo_float32", value=v) for v in values])
    )
    for value, answer in zip(values, answers, strict=True):
        echo = answer["value"]
        assert len(echo) == len(value)
        np.testing.assert_array_equal(echo[:, : value.shape[1]], value)
        padding = echo[:, value.shape[1] :]
        assert can_pad or not padding.size
        assert (padding == value[:1, :1]).all()
    assert sum(sum(report.input_batch_sizes) for report in lab.reports) == sum(
        rows for rows, _ in shapes
    )
    rows_run = [report.processed_batch_size - report.padding_size for report in lab.reports]
    assert sum(rows_run) == sum(rows for rows, _ in shapes)
    assert max(rows_run) <= lab.parameters.rows_per_batch
