import asyncio
import contextlib
import dataclasses
import io
import threading
import time
import uuid

import numpy as np
import pytest
from PIL import Image

import data.quality
from serving.gateway.api_types import ClassProbability
from serving.gateway.errors import DeadlineError, OverloadedError, UnavailableError
from serving.gateway.model.errors import ModelGoneError, ModelTimeoutError
from serving.gateway.observability.metrics import GatewayMetrics
from serving.gateway.observability.tracing import Tracing
from serving.gateway.predictor import Asked
from serving.gateway.records import ReviewReason, Route
from serving.gateway.services import open_services
from serving.gateway.settings import GatewaySettings, UploadSettings
from serving.gateway.uploads import images
from serving.gateway.uploads.upload import Upload

PLAIN = 7
NOBODY = {"grpc_address": "127.0.0.1:1", "max_attempts": 1}


@pytest.fixture(scope="module")
def photo(draw_photo, encode, exif_bytes):
    return Upload(encode(draw_photo(48, 80), "JPEG", exif=exif_bytes(6)))


@pytest.fixture
def open_gateway(tmp_path):
    """Function of settings to the running parts; `remembered` lists what they record."""

    @contextlib.asynccontextmanager
    async def open_gateway(rules="", **settings):
        rules_file = tmp_path / "rules.yaml"
        rules_file.write_text(rules)
        settings = GatewaySettings(
            state_folder=tmp_path / "state", rules_file=rules_file, **settings
        )
        async with open_services(settings, GatewayMetrics(), Tracing(None)) as services:
            yield services

    return open_gateway


def _ask(services, upload, *, seconds=20.0, is_alone=True):
    started, request_id = time.perf_counter(), uuid.uuid4().hex
    asked = Asked(request_id, "lk_seller", started, time.monotonic() + seconds, is_alone=is_alone)
    return services.predictor.predict(upload, asked)


def _run(open_gateway, upload, *, rules="", seconds=20.0, **settings):
    """Predict once; return the answer, its record and the metrics."""

    async def run():
        async with open_gateway(rules, **settings) as services:
            answer = await _ask(services, upload, seconds=seconds)
            record = services.recorder.find_pending(answer.request_id)
            return answer, record, services.metrics

    return asyncio.run(run())


@pytest.fixture
def server_settings(model_server):
    return {"model": {"grpc_address": model_server.grpc_address, "timeout_seconds": 10}}


def test_records_hold_what_the_answer_says(open_gateway, server_settings, photo):
    answer, record, metrics = _run(
        open_gateway, photo, rules="review: {follow_model: false}", **server_settings
    )
    assert not answer.needs_review
    assert record.request_id == answer.request_id
    assert record.label == record.model_label == answer.label
    assert [ClassProbability(**entry) for entry in record.top_k] == answer.top_k
    assert (record.route, answer.route, record.model_version) == (Route.STABLE, "stable", PLAIN)
    assert record.review_image is None
    assert metrics.read("prediction_seconds_count", route="stable", version=str(PLAIN)) == 1
    assert metrics.read("model_server_seconds_count", outcome="ok") == 1


def test_uncertain_answers_keep_a_picture_without_metadata(open_gateway, server_settings, photo):
    rules = "review: {min_probability: 1.0}"
    answer, record, _ = _run(open_gateway, photo, rules=rules, **server_settings)
    assert answer.needs_review
    assert ReviewReason.PROBABILITY in answer.review_reasons
    picture = Image.open(io.BytesIO(record.review_image))
    assert picture.format == "PNG"
    assert picture.size == (48, 80)  # upright
    assert not picture.info


def test_no_picture_is_kept_when_none_may(open_gateway, photo):
    rules = "{default_answer: unknown, retention: {review_image_days: 0}}"
    settings = {"model": NOBODY, "fallback": {"policy": "default"}}
    answer, record, _ = _run(open_gateway, photo, rules=rules, **settings)
    assert answer.needs_review
    assert record.review_image is None


def test_pictures_for_review_are_scaled_and_their_size_is_remembered(
    open_gateway, draw_photo, encode, exif_bytes
):
    large = Upload(encode(draw_photo(160, 240), "JPEG", exif=exif_bytes(6)))
    settings = {
        "model": NOBODY,
        "fallback": {"policy": "default"},
        "upload": {"review_side_pixels": 100},
    }

    async def run():
        async with open_gateway("default_answer: unknown", **settings) as services:
            answer = await _ask(services, large)
            record = services.recorder.find_pending(answer.request_id)
            return record, await services.predictor.strip(large)

    record, complaint = asyncio.run(run())
    assert (record.image_width, record.image_height) == Image.open(io.BytesIO(large.data)).size
    assert max(record.image_width, record.image_height) == 240
    assert record.image_bytes == len(large.data)
    for kept in (record.review_image, complaint):
        picture = Image.open(io.BytesIO(kept))
        assert sorted(picture.size) == [67, 100]
        # Upright: turned by EXIF 6.
        assert (picture.width < picture.height) == (record.image_width > record.image_height)


def test_the_rules_replace_a_denied_label(open_gateway, server_settings, photo):
    rules = "{deny: [bag, hät, shoe], default_answer: unknown}"
    answer, record, _ = _run(open_gateway, photo, rules=rules, **server_settings)
    assert (answer.label, record.label) == ("unknown", "unknown")
    assert record.model_label in {"bag", "hät", "shoe"}
    assert ReviewReason.DENIED in answer.review_reasons


def test_policy_refuse_says_that_no_model_answers(open_gateway, photo):
    with pytest.raises(ModelGoneError) as caught:
        _run(open_gateway, photo, rules="default_answer: unknown", model=NOBODY)
    assert caught.value.http_status == 503
    assert caught.value.headers["Retry-After"]


def test_policy_default_answers_with_the_default_for_review(open_gateway, photo):
    answer, record, metrics = _run(
        open_gateway,
        photo,
        rules="default_answer: unknown",
        model=NOBODY,
        fallback={"policy": "default"},
    )
    assert (answer.label, answer.probability, answer.model_version) == ("unknown", 0.0, 0)
    assert answer.route == record.route == Route.FALLBACK_DEFAULT
    assert answer.review_reasons == [ReviewReason.FALLBACK]
    assert record.review_image is not None
    assert metrics.read("model_server_seconds_count", outcome="unavailable") == 1


def test_a_long_outage_does_not_fill_the_review_queue(open_gateway, photo, tmp_path):
    settings = {"model": NOBODY, "fallback": {"policy": "default"}}
    rules = "{{default_answer: unknown, review: {{fallback_per_hour: {}}}}}"

    async def run():
        async with open_gateway(rules.format(2), **settings) as services:
            answers = [await _ask(services, photo) for _ in range(4)]
            records = [services.recorder.find_pending(each.request_id) for each in answers]
            (tmp_path / "rules.yaml").write_text(rules.format(3))
            await services.rules.refresh()
            return answers, records, [await _ask(services, photo) for _ in range(2)]

    answers, records, later = asyncio.run(run())
    assert [answer.needs_review for answer in answers] == [True, True, False, False]
    assert answers[-1].review_reasons == []
    assert {answer.route for answer in answers} == {Route.FALLBACK_DEFAULT}
    assert {answer.label for answer in answers} == {"unknown"}
    for answer, record in zip(answers, records, strict=True):
        assert record.needs_review == answer.needs_review == bool(record.review_image)
    assert [answer.needs_review for answer in later] == [True, False]


def test_policy_default_without_a_default_refuses(open_gateway, photo):
    with pytest.raises(UnavailableError):
        _run(open_gateway, photo, model=NOBODY, fallback={"policy": "default"})


def test_policy_model_answers_as_the_server_would(open_gateway, server_settings, photo, lite_files):
    served, _, _ = _run(open_gateway, photo, **server_settings)
    fallback = {
        "policy": "model",
        "lite_model_file": lite_files[0],
        "labels_file": lite_files[1],
    }
    answer, record, _ = _run(open_gateway, photo, model=NOBODY, fallback=fallback)
    assert answer.route == record.route == Route.FALLBACK_MODEL
    assert ReviewReason.FALLBACK in answer.review_reasons
    by_label = {entry.label: entry.probability for entry in served.top_k}
    for entry in answer.top_k:
        assert entry.probability == pytest.approx(by_label[entry.label], abs=0.01)


def test_the_fallback_has_time_left_when_the_server_hangs(open_gateway, serving_server, photo):
    serving_server.freeze()
    started = time.monotonic()
    answer, _, metrics = _run(
        open_gateway,
        photo,
        rules="default_answer: unknown",
        deadline_seconds=1.0,
        seconds=1.0,
        model={"grpc_address": serving_server.grpc_address, "timeout_seconds": 30},
        fallback={"policy": "default"},
    )
    assert answer.route == Route.FALLBACK_DEFAULT
    assert time.monotonic() - started < 5
    assert metrics.read("model_server_seconds_count", outcome="deadline_exceeded") == 1


def test_a_server_that_hangs_costs_the_deadline_and_no_more(open_gateway, serving_server, photo):
    serving_server.freeze()

    async def run():
        model = {"grpc_address": serving_server.grpc_address, "timeout_seconds": 30}
        async with open_gateway(model=model, deadline_seconds=0.5) as services:
            started = time.monotonic()
            with pytest.raises((DeadlineError, ModelTimeoutError)) as caught:
                await _ask(services, photo, seconds=0.5)
            return time.monotonic() - started, caught.value

    seconds, error = asyncio.run(run())
    assert 0.4 < seconds < 1.5
    assert error.http_status == 504


def test_what_exceeds_the_queue_is_refused_at_once(open_gateway, serving_server, photo):
    serving_server.freeze()
    admission = {"max_concurrent": 1, "max_waiting": 0}

    async def run():
        model = {"grpc_address": serving_server.grpc_address, "timeout_seconds": 1}
        async with open_gateway(model=model, admission=admission) as services:
            found = await asyncio.gather(
                *(_ask(services, photo) for _ in range(4)), return_exceptions=True
            )
            assert services.admission.in_progress == 0
            return found

    kinds = [type(error) for error in asyncio.run(run())]
    assert kinds.count(OverloadedError) == 3
    # Frozen before it was connected to: no answer, or no connection, whichever limit ends first.
    assert kinds.count(ModelTimeoutError) + kinds.count(ModelGoneError) == 1


def test_many_at_once_get_their_own_answers(open_gateway, server_settings, draw_photo, encode):
    uploads = [Upload(encode(draw_photo(40 + n, 90 - n), "PNG")) for n in range(12)]

    async def run():
        async with open_gateway(**server_settings) as services:
            together = await asyncio.gather(*(_ask(services, upload) for upload in uploads))
            return together, [await _ask(services, upload) for upload in uploads]

    together, alone = asyncio.run(run())
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(
            [entry.probability for entry in one.top_k],
            [entry.probability for entry in other.top_k],
            atol=1e-6,
        )
    assert len({entry.top_k[0].probability for entry in alone}) > 3


def test_time_left_is_never_negative():
    asked = Asked("0" * 32, "lk_seller", 0.0, time.monotonic() - 5)
    assert asked.seconds_left == 0
    later = dataclasses.replace(asked, ends_at=time.monotonic() + 5)
    assert 4 < later.seconds_left <= 5


def test_a_small_picture_is_measured_while_the_model_works(
    open_gateway, serving_server, photo, monkeypatch
):
    measured = []

    def measure_picture(pixels):
        measured.append(pixels.size)
        return data.quality.measure_picture(pixels)

    monkeypatch.setattr(images, "measure_picture", measure_picture)
    settings = {"model": {"grpc_address": serving_server.grpc_address, "timeout_seconds": 10}}

    async def run():
        async with open_gateway(**settings) as services:
            await _ask(services, photo)
            measured.clear()
            serving_server.freeze()
            asking = asyncio.create_task(_ask(services, photo))
            await asyncio.sleep(0.3)
            in_the_meantime = list(measured)
            serving_server.thaw()
            answer = await asking
            return in_the_meantime, services.recorder.find_pending(answer.request_id)

    in_the_meantime, record = asyncio.run(run())
    assert in_the_meantime == measured == [(48, 80)]
    expected = images.check_image(photo, UploadSettings()).quality
    assert record.image_sharpness == expected.sharpness
    assert record.image_dhash == f"{expected.dhash:016x}"


def test_a_picture_that_no_model_was_asked_about_is_measured_too(open_gateway, photo):
    settings = {"model": NOBODY, "fallback": {"policy": "default"}}
    _, record, _ = _run(open_gateway, photo, rules="default_answer: unknown", **settings)
    expected = images.check_image(photo, UploadSettings()).quality
    assert record.image_contrast == expected.contrast > 0


@contextlib.contextmanager
def _busy_threads(services):
    """Keep the threads for pictures busy."""
    release = threading.Event()
    for _ in range(services.predictor._threads._max_workers):
        services.predictor._threads.submit(release.wait)
    try:
        yield
    finally:
        release.set()


def test_small_pictures_do_not_wait_for_the_threads_that_check_large_ones(
    open_gateway, server_settings, photo, draw_photo, encode
):
    """Nor does a request of many small ones keep everybody else waiting for all of them."""
    many_pixels = Upload(encode(draw_photo(257, 256), "JPEG"))
    many_bytes = Upload(encode(draw_photo(150, 150), "BMP"))

    async def run():
        async with open_gateway("review: {follow_model: false}", **server_settings) as services:
            for upload in (photo, many_pixels, many_bytes):
                await _ask(services, upload)  # the first call of a model takes longer
            with _busy_threads(services):
                waiting = [
                    asyncio.create_task(_ask(services, many_pixels)),
                    asyncio.create_task(_ask(services, many_bytes)),
                    asyncio.create_task(_ask(services, photo, is_alone=False)),
                ]
                answer = await _ask(services, photo)
                done, _ = await asyncio.wait(waiting, timeout=0.5)
                assert not done
            return [answer, *await asyncio.gather(*waiting)]

    assert [answer.route for answer in asyncio.run(run())] == ["stable"] * 4


def test_an_answer_does_not_wait_for_its_picture_for_review(open_gateway, photo):
    settings = {"model": NOBODY, "fallback": {"policy": "default"}}

    async def run():
        async with open_gateway("default_answer: unknown", **settings) as services:
            with _busy_threads(services):
                answer = await _ask(services, photo, seconds=0.5)
            record = services.recorder.find_pending(answer.request_id)
            return answer, record

    answer, record = asyncio.run(run())
    assert answer.needs_review
    assert record.review_image is None
    assert 450 < record.latency_ms < 5000
