import asyncio
import gc
import time

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider

from serving.gateway.errors import OverloadedError
from serving.gateway.model.errors import ModelGoneError
from serving.gateway.model.joint_calls import MAX_BYTES, MAX_PIXELS, JointCalls, Question

VERSION = 7


class Server:
    """Answers each image with its own bytes; remembers calls, and may hold them back."""

    def __init__(self):
        self.calls = []
        self.metadata = []
        self.limits = []
        self.was_cancelled = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.num_rows_more = 0

    async def __call__(self, images, seconds, metadata):
        self.calls.append(list(images))
        self.limits.append(seconds)
        self.metadata.append(metadata)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        rows = [*images, *[b"?"] * self.num_rows_more]
        return VERSION, {"label": np.array(rows, object)}


def _label(answer):
    version, outputs = answer
    assert version == VERSION
    (label,) = outputs["label"]
    return label


def _question(image, *, num_pixels=0, metadata=()):
    return Question(image, num_pixels, time.monotonic() + 10, metadata)


async def _ask_all(calls, images, seconds=1.0):
    answers = await asyncio.gather(*(calls.ask(_question(image), seconds) for image in images))
    return [_label(answer) for answer in answers]


@pytest.mark.anyio
async def test_images_of_one_turn_share_a_call_and_later_ones_do_not_wait_for_it():
    server = Server()
    server.may_answer.clear()
    calls = JointCalls(server, 16)
    first = asyncio.create_task(_ask_all(calls, [b"a", b"b"]))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(_ask_all(calls, [b"c"]))
    await asyncio.sleep(0.01)
    assert server.calls == [[b"a", b"b"], [b"c"]]
    server.may_answer.set()
    assert await first == [b"a", b"b"]
    assert await second == [b"c"]


@pytest.mark.anyio
async def test_calls_have_at_most_so_many_images():
    server = Server()
    images = [bytes([number]) for number in range(7)]
    assert await _ask_all(JointCalls(server, 3), images) == images
    assert [len(call) for call in server.calls] == [3, 3, 1]


@pytest.mark.anyio
async def test_images_of_many_bytes_travel_alone():
    server = Server()
    large = b"x" * MAX_BYTES
    images = [b"a", b"b", large, b"c", large[1:]]
    assert await _ask_all(JointCalls(server, 16), images) == images
    assert server.calls == [[b"a", b"b"], [large], [b"c", large[1:]]]


@pytest.mark.anyio
async def test_images_of_many_pixels_travel_alone():
    server = Server()
    calls = JointCalls(server, 16)
    sizes = {b"a": 100, b"b": MAX_PIXELS - 100, b"c": 1, b"d": 50 * MAX_PIXELS, b"e": 1}
    questions = [_question(image, num_pixels=num_pixels) for image, num_pixels in sizes.items()]
    await asyncio.gather(*(calls.ask(question, 1.0) for question in questions))
    assert server.calls == [[b"a", b"b"], [b"c"], [b"d"], [b"e"]]


@pytest.mark.anyio
async def test_a_call_is_for_images_with_as_much_time_and_has_the_metadata_of_its_first():
    server = Server()
    calls = JointCalls(server, 16)
    limits = (1.0, 0.98, 0.2, 0.3, 1.0)
    await asyncio.gather(
        *(
            calls.ask(_question(b"x", metadata=(("id", str(place)),)), seconds)
            for place, seconds in enumerate(limits)
        )
    )
    assert server.limits == [0.98, 0.2, 0.3, 1.0]
    assert server.metadata == [(("id", place),) for place in "0234"]


@pytest.mark.anyio
@pytest.mark.parametrize("num_images", [1, 2])
async def test_images_are_forgotten_at_once_when_a_call_fails(num_images):
    class Image(bytes):
        """Bytes that tell when they are gone."""

        def __del__(self):
            gone.append(1)

    gone = []

    async def refuse(images, seconds, metadata):
        raise OverloadedError("too busy")

    calls = JointCalls(refuse, 16)
    images = [Image(b"a") for _ in range(num_images)]
    gc.disable()
    try:
        errors = await asyncio.gather(
            *(calls.ask(_question(image), 1.0) for image in images), return_exceptions=True
        )
        assert {str(error) for error in errors} == {"too busy"}
        del images, errors
        await asyncio.sleep(0.01)
        assert len(gone) == num_images
    finally:
        gc.enable()


@pytest.mark.anyio
async def test_closing_cancels_what_has_not_left():
    server = Server()
    calls = JointCalls(server, 16)
    waiting = [asyncio.create_task(calls.ask(_question(image), 1.0)) for image in (b"a", b"b")]
    await asyncio.sleep(0)
    calls.close()
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)
    assert not server.calls


@pytest.mark.anyio
async def test_who_gives_up_leaves_the_call_to_the_others():
    server = Server()
    server.may_answer.clear()
    calls = JointCalls(server, 16)
    impatient, patient = (
        asyncio.create_task(calls.ask(_question(image), 1.0)) for image in (b"a", b"b")
    )
    await asyncio.sleep(0.01)
    impatient.cancel()
    await asyncio.sleep(0.01)
    server.may_answer.set()
    assert _label(await patient) == b"b"
    assert impatient.cancelled()


@pytest.mark.anyio
async def test_a_call_ends_when_everybody_has_given_up():
    server = Server()
    server.may_answer.clear()
    calls = JointCalls(server, 16)
    tasks = [asyncio.create_task(calls.ask(_question(image), 1.0)) for image in (b"a", b"b")]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert server.was_cancelled
    server.may_answer.set()
    assert await _ask_all(calls, [b"c"]) == [b"c"]


@pytest.mark.anyio
async def test_who_comes_after_all_have_given_up_joins_no_call_that_never_left():
    server = Server()
    calls = JointCalls(server, 16)
    gone = calls.ask(_question(b"a"), 1.0)
    waits_for = gone.send(None)  # as a task does in its first turn
    gone.close()
    assert _label(await calls.ask(_question(b"b"), 1.0)) == b"b"
    assert server.calls == [[b"b"]]
    assert waits_for.cancelled()


@pytest.mark.anyio
async def test_a_failure_is_everybody_s():
    async def refuse(images, seconds, metadata):
        raise OverloadedError("too busy")

    calls = JointCalls(refuse, 16)
    errors = await asyncio.gather(
        *(calls.ask(_question(image), 1.0) for image in (b"a", b"b")), return_exceptions=True
    )
    assert [str(error) for error in errors] == ["too busy"] * 2


@pytest.mark.anyio
@pytest.mark.parametrize("num_rows_more", [1, -1])
async def test_answers_with_other_numbers_of_rows_are_refused(num_rows_more):
    async def answer(images, seconds, metadata):
        return VERSION, {"label": np.zeros(len(images) + num_rows_more), "total": np.zeros(())}

    calls = JointCalls(answer, 16)
    with pytest.raises(ModelGoneError, match="to 2 images, expected 2 rows"):
        await _ask_all(calls, [b"a", b"b"])


@pytest.mark.anyio
async def test_spans_of_a_shared_call_are_linked_to_the_one_that_carries_it():
    tracer = TracerProvider().get_tracer("test")
    calls = JointCalls(Server(), 16)

    async def ask(name):
        with tracer.start_as_current_span(name) as span:
            await calls.ask(_question(name.encode()), 1.0)
        return span

    first, second, third = await asyncio.gather(*(ask(name) for name in "abc"))
    assert first.links == ()
    for span in (second, third):
        (link,) = span.links
        assert link.context == first.get_span_context()
