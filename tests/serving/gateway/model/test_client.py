import asyncio
import contextlib
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
import structlog

from serving.gateway.errors import NotFoundError, UnprocessableError
from serving.gateway.model.breaker import BreakerOpenError, BreakerState
from serving.gateway.model.client import ModelClient
from serving.gateway.model.errors import ModelGoneError, ModelTimeoutError
from serving.gateway.model.protos import (
    PREDICT_METHOD,
    STATUS_METHOD,
    DataType,
    GetModelStatusRequest,
    GetModelStatusResponse,
    PredictRequest,
    PredictResponse,
    VersionState,
)
from serving.gateway.settings import ModelServerSettings

PLAIN, EXPLAINING = 7, 8
LABELS = ("bag", "hät", "shoe")


@pytest.fixture(scope="module")
def photo(draw_photo, encode):
    return encode(draw_photo(48, 80), "JPEG")


def _use(server, coroutine_function, **settings):
    """Run a coroutine with a client of the server."""

    async def run():
        settings.setdefault("grpc_address", server.grpc_address)
        client = ModelClient(ModelServerSettings(**settings))
        try:
            return await coroutine_function(client)
        finally:
            await client.close()

    return asyncio.run(run())


@contextlib.asynccontextmanager
async def _client_of(predict, **settings):
    """A client of a server of our own, which answers Predict with this coroutine function."""
    server = grpc.aio.server()
    service, method = PREDICT_METHOD[1:].split("/")
    handler = grpc.unary_unary_rpc_method_handler(
        predict,
        request_deserializer=PredictRequest.FromString,
        response_serializer=PredictResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler(service, {method: handler}),
    ))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = ModelClient(ModelServerSettings(grpc_address=f"127.0.0.1:{port}", **settings))
    try:
        yield client
    finally:
        await client.close()
        await server.stop(0)


async def _predict_again(client, data):
    """Ask until there is an answer, which a restarted or loaded server may owe for a moment."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return await client.predict(data, budget_seconds=10)
        except (ModelGoneError, ModelTimeoutError, BreakerOpenError):
            assert time.monotonic() < deadline, "the server was not found again"
            await asyncio.sleep(0.1)


def _predict(data, budget_seconds=10.0):
    return lambda client: client.predict(data, budget_seconds=budget_seconds)


@pytest.fixture(scope="module")
def steady(model_server):
    model_server.wait_until_serving(PLAIN)
    return model_server


def test_answers_are_those_of_the_saved_model(steady, model_folders, encoded_formats):
    import tensorflow as tf

    names = ["jpeg colour", "png alpha", "webp lossy", "gif", "bmp palette"]
    images = [encoded_formats[name] for name in names]
    signature = tf.saved_model.load(str(model_folders[PLAIN])).signatures["serving_default"]
    expected = {name: value.numpy() for name, value in signature(tf.constant(images)).items()}

    async def ask(client):
        return [await client.predict(data, budget_seconds=10) for data in images]

    for place, answer in enumerate(_use(steady, ask, timeout_seconds=10)):
        assert answer.label == expected["label"][place].decode()
        assert answer.label_id == expected["label_id"][place]
        assert answer.classes == LABELS
        assert answer.needs_review == expected["needs_review"][place]
        np.testing.assert_allclose(
            answer.probabilities, expected["probabilities"][place], atol=1e-6
        )
        assert answer.version == PLAIN
        assert answer.model_ms > 0


def test_class_names_are_asked_for_once(steady, photo, monkeypatch):
    filters = []
    send = ModelClient._send

    async def listen(self, method, request, *rest):
        filters.append(list(request.output_filter))
        return await send(self, method, request, *rest)

    monkeypatch.setattr(ModelClient, "_send", listen)

    async def ask(client):
        return [await client.predict(photo, budget_seconds=10) for _ in range(3)]

    assert {answer.classes for answer in _use(steady, ask, timeout_seconds=10)} == {LABELS}
    assert filters[0] == []
    assert len(filters) == 3
    assert all("classes" not in names and "label" in names for names in filters[1:])


@pytest.fixture
def sizes_of_calls(monkeypatch):
    """How many images each call carried that was made since."""
    sizes = []
    send = ModelClient._send

    async def listen(self, method, request, *rest):
        sizes.append(len(request.inputs[0].value.string_val))
        return await send(self, method, request, *rest)

    monkeypatch.setattr(ModelClient, "_send", listen)
    return sizes


async def _predict_at_once(client, images):
    """Answers, or errors, of images that are asked for in one turn of the loop."""
    asked = [client.predict(data, budget_seconds=10) for data in images]
    return await asyncio.gather(*asked, return_exceptions=True)


def test_images_at_once_share_calls_and_get_their_own_answers(
    steady, encoded_formats, sizes_of_calls
):
    images = [encoded_formats[name] for name in ("jpeg colour", "png alpha", "webp lossy", "gif")]

    async def ask(client):
        alone = [await client.predict(data, budget_seconds=10) for data in images]
        del sizes_of_calls[:]
        return alone, await _predict_at_once(client, images)

    alone, at_once = _use(steady, ask, timeout_seconds=10, max_images_per_call=3)
    assert sizes_of_calls == [3, 1]
    assert len({answer.probabilities for answer in alone}) == len(images)
    for mine, shared in zip(alone, at_once, strict=True):
        assert (shared.label, shared.version, shared.classes) == (mine.label, PLAIN, LABELS)
        np.testing.assert_allclose(shared.probabilities, mine.probabilities, atol=1e-6)


def test_closing_cancels_what_was_asked_in_the_same_moment(steady, photo):
    async def ask(client):
        await client.predict(photo, budget_seconds=10)
        asking = asyncio.create_task(client.predict(photo, budget_seconds=10))
        await asyncio.sleep(0)
        await client.close()
        await asyncio.wait([asking])
        return asking.cancelled()

    assert _use(steady, ask, timeout_seconds=10)


def test_one_image_per_call_where_that_is_set(steady, photo, sizes_of_calls):
    async def ask(client):
        await client.predict(photo, budget_seconds=10)
        return await _predict_at_once(client, [photo] * 3)

    _use(steady, ask, timeout_seconds=10, max_images_per_call=1)
    assert sizes_of_calls == [1] * 4


def test_an_image_that_the_model_cannot_read_harms_no_other(steady, photo, sizes_of_calls):
    async def ask(client):
        await client.predict(photo, budget_seconds=10)
        for _ in range(2):
            good, bad, other = await _predict_at_once(client, [photo, b"no image", photo])
            assert good.probabilities == pytest.approx(other.probabilities)
            assert isinstance(bad, UnprocessableError)

    _use(steady, ask, timeout_seconds=10)
    assert sizes_of_calls == [1, 3, 1, 1, 1, 3, 1, 1, 1]  # calls stay as large as they were


def test_a_server_that_takes_smaller_batches_is_not_asked_for_larger_ones_again(
    narrow_server, photo, sizes_of_calls
):
    async def ask(client):
        await client.predict(photo, budget_seconds=10)
        for _ in range(3):
            answers = await _predict_at_once(client, [photo] * 16)
            assert [answer.version for answer in answers] == [PLAIN] * 16

    with structlog.testing.capture_logs() as lines:
        _use(narrow_server, ask, timeout_seconds=10)
    once, twice = [16, *[1] * 16], [8, 8, *[1] * 16]
    assert sizes_of_calls == [1, *once, *twice, *[4] * 4]
    assert [line["max_images_from_now_on"] for line in lines] == [8, 4]
    assert all("LOUPE_GATEWAY_MODEL__MAX_IMAGES_PER_CALL" in line["fix"] for line in lines)


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
def test_a_call_that_fails_is_one_failure_however_many_images_it_carried(photo, status):
    calls = []

    async def predict(request, context):
        images = request.inputs[0].value.string_val
        calls.append(len(images))
        if len(calls) == 2:
            await context.abort(status, "a hiccup")
        return _answer_all_alike(len(images))

    async def ask():
        async with _client_of(predict) as client:
            await client.predict(photo, budget_seconds=5)
            answers = await _predict_at_once(client, [photo] * 16)
            return answers, client.breaker_state

    answers, breaker_state = asyncio.run(ask())
    assert breaker_state is BreakerState.CLOSED
    assert calls[:2] == [1, 16]
    if status is grpc.StatusCode.UNAVAILABLE:  # worth a second attempt
        assert [answer.label for answer in answers] == ["bag"] * 16
        assert sum(calls[2:]) == 16
    else:
        assert all(isinstance(answer, ModelGoneError) for answer in answers)


def _answer_all_alike(num_images):
    response = PredictResponse()
    response.model_spec.version.value = PLAIN
    values = {
        "label": (DataType.STRING, "string_val", [b"bag"]),
        "label_id": (DataType.INT64, "int64_val", [0]),
        "probability": (DataType.FLOAT, "float_val", [0.9]),
        "probabilities": (DataType.FLOAT, "float_val", [0.9, 0.1, 0.0]),
        "needs_review": (DataType.BOOL, "bool_val", [False]),
    }
    for name, (dtype, field, row) in values.items():
        tensor = response.outputs.add(key=name).value
        tensor.dtype = dtype
        sizes = [num_images] if name != "probabilities" else [num_images, 3]
        for size in sizes:
            tensor.tensor_shape.dim.add(size=size)
        getattr(tensor, field).extend(row * num_images)
    return response


def test_an_image_with_little_time_does_not_wait_for_a_call_that_others_share(
    serving_server, photo
):
    server = serving_server

    async def ask(client):
        await _predict_again(client, photo)
        server.freeze()
        started = time.monotonic()
        patient = asyncio.create_task(client.predict(photo, budget_seconds=10))
        with pytest.raises(ModelTimeoutError, match=r"no answer within 0\.[12]"):
            await client.predict(photo, budget_seconds=0.2)
        assert 0.15 < time.monotonic() - started < 0.6
        server.thaw()
        return await patient

    assert _use(server, ask, timeout_seconds=10).version == PLAIN


def test_images_that_the_model_cannot_read_are_the_caller_s_mistake(steady):
    async def ask(client):
        for _ in range(3):
            with pytest.raises(UnprocessableError, match="cannot read this image") as caught:
                await client.predict(b"no image", budget_seconds=10)
        assert client.breaker_state is BreakerState.CLOSED
        return caught.value

    error = _use(steady, ask, breaker_failures=2, timeout_seconds=10)
    assert error.got
    assert "JPEG" in error.accepted
    assert error.fix


@pytest.mark.parametrize(("name", "label"), [("other", ""), ("loupe", "canary")])
def test_models_that_nobody_serves_are_named(steady, photo, name, label):
    with pytest.raises(ModelGoneError, match=rf"Predict of model '{name}': \w+: .*{label}"):
        _use(steady, _predict(photo), name=name, label=label)


def test_a_version_without_explanations_says_so(steady, photo):
    with pytest.raises(NotFoundError, match="explain") as caught:
        _use(steady, lambda client: client.explain(photo, budget_seconds=10))
    assert "exported with this signature" in caught.value.fix


def test_statuses_tell_versions_and_states(steady):
    (status,) = _use(steady, lambda client: client.statuses())
    assert (status.version, status.state, status.error) == (PLAIN, VersionState.AVAILABLE, "")


def test_metadata_reaches_the_server(photo):
    seen = []

    async def predict(request, context):
        seen.extend(context.invocation_metadata())
        await context.abort(grpc.StatusCode.INTERNAL, "enough")

    async def ask():
        async with _client_of(predict) as client:
            with pytest.raises(ModelGoneError, match="INTERNAL: enough"):
                await client.predict(photo, budget_seconds=5, metadata=[("traceparent", "00-ab")])

    asyncio.run(ask())
    assert ("traceparent", "00-ab") in [(item.key, item.value) for item in seen]


def test_an_empty_budget_is_a_timeout_without_a_call(steady, photo):
    with pytest.raises(ModelTimeoutError, match="no time is left"):
        _use(steady, _predict(photo, budget_seconds=0.0))


def test_a_new_version_brings_its_classes_and_explanations(serving_server, model_folders, photo):
    server = serving_server

    async def ask(client):
        before = await client.predict(photo, budget_seconds=10)
        server.push(model_folders[EXPLAINING], EXPLAINING)
        await asyncio.to_thread(server.wait_until_serving, EXPLAINING)
        after = await client.predict(photo, budget_seconds=10)
        return before, after, await client.explain(photo, budget_seconds=10)

    before, after, heat_map = _use(server, ask, timeout_seconds=10)
    assert (before.version, after.version) == (PLAIN, EXPLAINING)
    assert before.classes == after.classes == LABELS
    assert before.probabilities != after.probabilities
    assert heat_map.shape == (24, 16)
    assert heat_map.dtype == np.float32
    assert 0 <= heat_map.min() < heat_map.max() <= 1


def test_a_killed_server_is_noticed_at_once_and_found_again(serving_server, photo):
    server = serving_server

    async def ask(client):
        await _predict_again(client, photo)
        server.kill()
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(ModelGoneError, match="UNAVAILABLE"):
                await client.predict(photo, budget_seconds=10)
            assert time.monotonic() - started < 1
        assert client.breaker_state is BreakerState.OPEN
        started = time.monotonic()
        with pytest.raises(BreakerOpenError):
            await client.predict(photo, budget_seconds=10)
        assert time.monotonic() - started < 0.05
        server.start()
        await asyncio.to_thread(server.wait_until_serving, PLAIN)
        assert (await _predict_again(client, photo)).version == PLAIN
        assert client.breaker_state is BreakerState.CLOSED

    _use(server, ask, breaker_failures=4, breaker_seconds=0.5, timeout_seconds=10)


def test_a_frozen_server_costs_its_time_limit_and_then_nothing(serving_server, photo):
    server = serving_server

    async def ask(client):
        await _predict_again(client, photo)
        server.freeze()
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(ModelTimeoutError, match=r"no answer within 0\.5 s"):
                await client.predict(photo, budget_seconds=10)
            assert 0.4 < time.monotonic() - started < 0.9
        with pytest.raises(BreakerOpenError):
            await client.predict(photo, budget_seconds=10)
        await asyncio.sleep(0.6)
        with pytest.raises(ModelTimeoutError):
            await client.predict(photo, budget_seconds=10)
        assert client.breaker_state is BreakerState.OPEN
        server.thaw()
        return await _predict_again(client, photo)

    settings = {"breaker_failures": 2, "breaker_seconds": 0.5, "timeout_seconds": 0.5}
    assert _use(server, ask, **settings).version == PLAIN


class Network:
    """A way to a server whose connections can be lost without anybody being told."""

    def __init__(self, port):
        self._port, self._tasks, self._writers = port, [], []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self.lose_connections()
        for writer in self._writers:
            writer.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    @property
    def address(self):
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def lose_connections(self):
        """Carry nothing more over those that are open; new ones work."""
        for task in self._tasks:
            task.cancel()

    async def _connect(self, reader, writer):
        there = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, there[1]]
        for source, target in ((reader, there[1]), (there[0], writer)):
            self._tasks.append(asyncio.create_task(self._carry(source, target)))

    async def _carry(self, source, target):
        while data := await source.read(65536):
            target.write(data)


def test_a_connection_that_vanished_is_given_up_with_the_breaker(steady, photo):
    async def ask():
        async with Network(steady.port) as network:
            settings = {"breaker_failures": 1, "breaker_seconds": 0.2, "timeout_seconds": 2}
            client = ModelClient(ModelServerSettings(grpc_address=network.address, **settings))
            await _predict_again(client, photo)
            network.lose_connections()
            with pytest.raises(ModelTimeoutError):
                await client.predict(photo, budget_seconds=10)
            answer = await _predict_again(client, photo)
            await client.close()
            return answer

    assert asyncio.run(ask()).version == PLAIN


def test_the_caller_s_budget_ends_a_call_before_the_time_limit(serving_server, photo):
    server = serving_server

    async def ask(client):
        await _predict_again(client, photo)
        server.freeze()
        started = time.monotonic()
        with pytest.raises(ModelTimeoutError):
            await client.predict(photo, budget_seconds=0.2)
        return time.monotonic() - started

    assert 0.15 < _use(server, ask, timeout_seconds=5) < 0.6


def test_a_server_that_restarts_between_attempts_costs_no_error(photo):
    """The first attempt is refused, the second one answered: seen by a server of our own."""
    calls = []

    async def predict(request, context):
        calls.append(request)
        if len(calls) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "draining")
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too busy")

    async def ask():
        async with _client_of(predict, max_attempts=3) as client:
            await client.predict(photo, budget_seconds=5)

    with pytest.raises(Exception, match="too busy") as caught:
        asyncio.run(ask())
    assert caught.value.http_status == 503
    assert len(calls) == 2  # RESOURCE_EXHAUSTED is no invitation to try again


@contextlib.contextmanager
def _server_of_version(version):
    """A server that knows one method; yields its port."""

    def answer(request, context):
        response = GetModelStatusResponse()
        response.model_version_status.add(version=version, state=VersionState.AVAILABLE)
        return response

    service, _, method = STATUS_METHOD.removeprefix("/").partition("/")
    handler = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=GetModelStatusRequest.FromString,
        response_serializer=GetModelStatusResponse.SerializeToString,
    )
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([
        grpc.method_handlers_generic_handler(service, {method: handler})
    ])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def test_calls_are_spread_over_all_servers_of_a_name():
    async def ask(client):
        deadline = time.monotonic() + 10
        seen = []
        while len(set(seen)) < 2 and time.monotonic() < deadline:
            (status,) = await client.statuses()
            seen.append(status.version)
        for _ in range(10):  # both are connected now
            (status,) = await client.statuses()
            seen.append(status.version)
        return seen[-10:]

    with _server_of_version(1) as first, _server_of_version(2) as second:
        settings = ModelServerSettings(
            grpc_address=f"ipv4:127.0.0.1:{first},127.0.0.1:{second}", timeout_seconds=5
        )

        async def run():
            client = ModelClient(settings)
            try:
                return await ask(client)
            finally:
                await client.close()

        assert sorted(asyncio.run(run())) == [1] * 5 + [2] * 5
