"""From one picture to one answer and one record: check, wait, ask, decide, remember."""

import asyncio
import contextlib
import dataclasses
import datetime
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from opentelemetry.trace import SpanKind

from serving.gateway.admission import Admission
from serving.gateway.api_types import ClassProbability, PredictionAnswer
from serving.gateway.errors import DeadlineError, GatewayError, OverloadedError
from serving.gateway.fallback_reviews import FallbackReviews
from serving.gateway.model.answers import ModelAnswer
from serving.gateway.model.client import ModelClient
from serving.gateway.model.errors import GONE, BreakerOpenError
from serving.gateway.model.fallback import Fallback
from serving.gateway.model.heat_maps import draw_overlay
from serving.gateway.observability.metrics import GatewayMetrics
from serving.gateway.observability.tracing import Tracing, outgoing_trace
from serving.gateway.recorder import Recorder
from serving.gateway.records import PredictionRecord, ReviewReason, Route
from serving.gateway.rules import BusinessRules, Decision, decide
from serving.gateway.rules_store import RulesHolder
from serving.gateway.settings import GatewaySettings
from serving.gateway.uploads.images import (
    QUICK_BYTES,
    CheckedImage,
    check_header,
    check_image,
    check_pixels,
    strip_metadata,
)
from serving.gateway.uploads.upload import Upload

TOP_K: Final = 5
"""How many classes an answer lists."""
_FALLBACK_SHARE: Final = 0.2
"""Of a request's time, kept back for the fallback."""
_REFUSAL_SHARE: Final = 0.02
"""The same where there is none: a call that ends by its own limit counts for the breaker."""
_CALL_LEAVES_SECONDS: Final = 0.001
"""After this long, a picture's bytes are on their way to the model server."""

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and since when.

    Attributes:
        request_id: 32 hexadecimal digits, unique for each picture.
        key_id: who asks.
        started_at: `time.perf_counter()` at the first byte of the request.
        ends_at: `time.monotonic()` by which the answer must be there.
        is_alone: whether the request carries no other picture.
    """

    request_id: str
    key_id: str
    started_at: float
    ends_at: float
    is_alone: bool = True

    @property
    def seconds_left(self) -> float:
        """Tell how much time there is.

        Returns:
            Seconds, at least 0.
        """
        return max(0.0, self.ends_at - time.monotonic())


@dataclasses.dataclass(frozen=True, slots=True)
class PredictorParts:
    """What a predictor works with.

    Attributes:
        settings: limits of uploads, and the model's name.
        client: the model server.
        fallback: what stands in for it.
        admission: who may ask now.
        rules: the business rules.
        recorder: remembers answers.
        metrics: counts.
        tracing: spans.
    """

    settings: GatewaySettings
    client: ModelClient
    fallback: Fallback
    admission: Admission
    rules: RulesHolder
    recorder: Recorder
    metrics: GatewayMetrics
    tracing: Tracing


class Predictor:
    """Answers pictures.

    Args:
        parts: what it works with.
    """

    def __init__(self, parts: PredictorParts) -> None:
        self._parts = parts
        self._fallback_reviews = FallbackReviews(parts.settings.workers)
        # Pillow frees the interpreter lock: more threads than cores would only wait for each other.
        self._threads = ThreadPoolExecutor(
            len(os.sched_getaffinity(0)), thread_name_prefix="pictures"
        )

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def predict(self, upload: Upload, asked: Asked) -> PredictionAnswer:
        """Answer one picture.

        Args:
            upload: the picture as it came in.
            asked: who asks.

        Returns:
            The answer; it is recorded when this returns.

        Raises:
            GatewayError: the picture is refused, the service is busy, or no model answers.
        """
        async with _time_limit(asked):
            image = await self._check(upload, is_alone=asked.is_alone)
            rules, rules_version = self._parts.rules.current, self._parts.rules.version
            with _measured_meanwhile(image):
                answer, route = await self._ask(image, asked, rules)
        decision = self._fallback_reviews.limit(
            _decide(rules, answer, route), rules.review.fallback_per_hour
        )
        top_k = answer.most_probable(TOP_K)
        record = PredictionRecord(
            request_id=asked.request_id,
            created_at=datetime.datetime.now(datetime.UTC),
            key_id=asked.key_id,
            model_name=self._parts.settings.model.name,
            rules_version=rules_version,
            route=route,
            review_image=(
                await self._make_review_image(image, asked, rules) if decision.reasons else None
            ),
            latency_ms=1000 * (time.perf_counter() - asked.started_at),
            **_describe_answer(answer, decision, top_k),
            **_describe_image(image),
        )
        self._parts.recorder.record(record)
        self._parts.metrics.observe_prediction(
            route=route,
            version=answer.version,
            seconds=record.latency_ms / 1000,
            probability=answer.probability,
        )
        return PredictionAnswer(
            request_id=asked.request_id,
            label=decision.label,
            probability=answer.probability,
            top_k=top_k,
            model_version=answer.version,
            route=route,
            needs_review=record.needs_review,
            review_reasons=list(decision.reasons),
        )

    async def explain(self, upload: Upload, asked: Asked) -> bytes:
        """Show which parts of a picture made the answer.

        Args:
            upload: the picture as it came in.
            asked: who asks.

        Returns:
            The picture with a heat map over it, PNG.

        Raises:
            GatewayError: as `predict`; NotFoundError when the version cannot explain itself.
        """
        async with _time_limit(asked):
            image = await self._check(upload)
            async with self._turn("model.explain"):
                heat_map = await self._parts.client.explain(
                    image.data, budget_seconds=asked.seconds_left, metadata=outgoing_trace()
                )
            return await self._in_thread(lambda: draw_overlay(image, heat_map))

    async def strip(self, upload: Upload) -> bytes:
        """Check a picture and take everything but its pixels out of it.

        Args:
            upload: the picture as it came in.

        Returns:
            An upright PNG.

        Raises:
            GatewayError: the picture is refused.
        """
        return await self._strip(await self._check(upload))

    async def _check(self, upload: Upload, *, is_alone: bool = True) -> CheckedImage:
        with self._parts.tracing.span("image.check"):
            image = await self._check_where_it_is_quick(upload, is_alone=is_alone)
        self._parts.metrics.observe_image(
            image_format=image.format,
            num_bytes=len(image.data),
            num_pixels=image.width * image.height,
        )
        return image

    async def _check_where_it_is_quick(self, upload: Upload, *, is_alone: bool) -> CheckedImage:
        # Checking is many short calls, and a thread that makes them waits for the interpreter lock
        # after each: at half of saturation a small picture took 3 ms there instead of 1, and now
        # and then so much longer that a queue built up. A request of many pictures would keep the
        # loop for all of them, so those go to the threads.
        limits = self._parts.settings.upload
        if not is_alone or len(upload.data) > QUICK_BYTES:
            return await self._in_thread(lambda: check_image(upload, limits))
        header = check_header(upload, limits)
        if header.is_quick:
            return check_pixels(header, limits, measure_later=True)
        return await self._in_thread(lambda: check_pixels(header, limits))

    async def _ask(
        self, image: CheckedImage, asked: Asked, rules: BusinessRules
    ) -> tuple[ModelAnswer, Route]:
        fallback = self._parts.fallback
        has_fallback = fallback.can_answer(rules.default_answer)
        reserve = _FALLBACK_SHARE if has_fallback else _REFUSAL_SHARE
        try:
            async with self._turn("model.predict"):
                seconds = asked.seconds_left - reserve * self._parts.settings.deadline_seconds
                answer = await self._parts.client.predict(
                    image.data,
                    budget_seconds=seconds,
                    metadata=outgoing_trace(),
                    num_pixels=image.width * image.height,
                )
                return answer, Route.STABLE
        except GONE:
            found = await fallback.predict(image, rules.default_answer)
            if found is None:
                raise
            return found.answer, found.route

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncGenerator[None]:
        metrics = self._parts.metrics
        async with self._parts.admission.slot() as waited_seconds:
            metrics.observe_queue_wait(waited_seconds)
            started = time.perf_counter()
            outcome = "cancelled"
            try:
                with self._parts.tracing.span(name, SpanKind.CLIENT):
                    yield
                outcome = "ok"
            except GatewayError as error:
                outcome = "not_made" if isinstance(error, BreakerOpenError) else error.code
                raise
            finally:
                seconds = time.perf_counter() - started
                metrics.observe_model_call(outcome=outcome, seconds=seconds)
                metrics.set_breaker(self._parts.client.breaker_state)

    async def _make_review_image(
        self, image: CheckedImage, asked: Asked, rules: BusinessRules
    ) -> bytes | None:
        if not rules.retention.review_image_days:
            return None
        try:
            async with asyncio.timeout(asked.seconds_left):
                return await self._strip(image)
        except (OverloadedError, TimeoutError):
            return None  # other pictures are being read, and the answer matters more

    async def _strip(self, image: CheckedImage) -> bytes:
        side = self._parts.settings.upload.review_side_pixels
        return await self._in_thread(lambda: strip_metadata(image, max_side_pixels=side))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


@contextlib.asynccontextmanager
async def _time_limit(asked: Asked) -> AsyncGenerator[None]:
    limit = asyncio.timeout(asked.seconds_left)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineError(
            "the answer was not ready in time",
            fix="Try again in a few seconds, or send a smaller picture.",
        ) from error


@contextlib.contextmanager
def _measured_meanwhile(image: CheckedImage) -> Generator[None]:
    # The measures are for the record only, and the loop has nothing to do for this picture while
    # the model works. The call must have left first.
    timer = asyncio.get_running_loop().call_later(_CALL_LEAVES_SECONDS, image.measurement.take)
    try:
        yield
    finally:
        timer.cancel()


def _decide(rules: BusinessRules, answer: ModelAnswer, route: Route) -> Decision:
    if route is Route.FALLBACK_DEFAULT:
        return Decision(answer.label, (ReviewReason.FALLBACK,))
    decision = decide(
        rules,
        label=answer.label,
        probability=answer.probability,
        margin=answer.margin,
        model_needs_review=answer.needs_review,
    )
    if route is Route.FALLBACK_MODEL:
        return Decision(decision.label, (ReviewReason.FALLBACK, *decision.reasons))
    return decision


def _describe_answer(
    answer: ModelAnswer, decision: Decision, top_k: list[ClassProbability]
) -> dict[str, Any]:
    return {
        "model_version": answer.version,
        "label": decision.label,
        "model_label": answer.label,
        "probability": answer.probability,
        "margin": answer.margin,
        "top_k": [{"label": entry.label, "probability": entry.probability} for entry in top_k],
        "needs_review": bool(decision.reasons),
        "review_reasons": [reason.value for reason in decision.reasons],
        "model_ms": answer.model_ms,
    }


def _describe_image(image: CheckedImage) -> dict[str, Any]:
    quality = image.quality
    return {
        "image_format": image.format,
        "image_bytes": len(image.data),
        "image_width": image.width,
        "image_height": image.height,
        "image_brightness": quality.brightness,
        "image_contrast": quality.contrast,
        "image_sharpness": quality.sharpness,
        "image_saturation": quality.saturation,
        "image_dhash": f"{quality.dhash:016x}",
    }
