"""What the API does, for its routes and for the console alike."""

import asyncio
import base64
import dataclasses
import datetime
import time
from collections.abc import Sequence
from typing import Final

from fastapi import Request

from serving.gateway.api_types import (
    BatchAnswer,
    BatchItem,
    ErrorAnswer,
    FeedbackAnswer,
    FeedbackRequest,
    ModelsAnswer,
    ModelVersion,
    PredictionAnswer,
    PredictionPage,
)
from serving.gateway.database.engine import reading, writing
from serving.gateway.database.feedback import save_feedback
from serving.gateway.database.predictions import (
    count_traffic,
    list_predictions,
    share_of_versions,
)
from serving.gateway.errors import BadRequestError, GatewayError, UnavailableError
from serving.gateway.observability.middleware import (
    get_request_id,
    get_started_at,
    new_request_id,
)
from serving.gateway.predictor import Asked
from serving.gateway.scopes import Principal
from serving.gateway.services import Services
from serving.gateway.uploads.bodies import read_uploads
from serving.gateway.uploads.upload import Upload

TRAFFIC_TIME: Final = datetime.timedelta(hours=1)
"""Window of the shares of `GET /v1/models`."""


class Operations:
    """The whole way of each call, but for who may make it.

    Args:
        services: the running gateway.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def charge(self, request: Request, principal: Principal, tokens: int = 1) -> None:
        """Take the tokens of a call; what is left is told in the answer's headers.

        Args:
            request: gets `state.rate_headers`.
            principal: who asks.
            tokens: one for each picture.

        Raises:
            ThrottledError: too many calls.
        """
        state = await self._services.throttle.take(principal.key_id, tokens)
        request.state.rate_headers = state.to_headers()

    async def predict(self, request: Request, principal: Principal) -> PredictionAnswer:
        """Answer the picture of a request.

        Args:
            request: its body is not read yet.
            principal: who asks.

        Returns:
            The answer.

        Raises:
            GatewayError: the request is refused, or nothing can answer.
        """
        upload = await self._read_one(request, principal)
        return await self._services.predictor.predict(upload, self._asked(request, principal))

    async def predict_batch(self, request: Request, principal: Principal) -> BatchAnswer:
        """Answer the pictures of a request, each with its own result or error.

        Args:
            request: its body is not read yet.
            principal: who asks.

        Returns:
            The answers in the order of the pictures.

        Raises:
            GatewayError: the request as a whole is refused.
        """
        await self.charge(request, principal)
        uploads = await read_uploads(request, self._services.settings.upload, many=True)
        if len(uploads) > 1:
            await self.charge(request, principal, len(uploads) - 1)
        whole = self._asked(request, principal)
        items = await asyncio.gather(
            *(self._predict_item(index, upload, whole) for index, upload in enumerate(uploads))
        )
        return BatchAnswer(items=items, num_errors=sum(item.error is not None for item in items))

    async def explain(self, request: Request, principal: Principal) -> bytes:
        """Explain the answer to the picture of a request.

        Args:
            request: its body is not read yet.
            principal: who asks.

        Returns:
            An overlay, PNG.

        Raises:
            GatewayError: the request is refused, or nothing can explain.
        """
        upload = await self._read_one(request, principal)
        return await self._services.predictor.explain(upload, self._asked(request, principal))

    async def send_feedback(
        self, request: Request, feedback: FeedbackRequest, principal: Principal
    ) -> FeedbackAnswer:
        """Keep what a caller says that a picture shows.

        Args:
            request: pays one token.
            feedback: the true label.
            principal: who asked for the prediction.

        Returns:
            Whether the answer was right.

        Raises:
            GatewayError: too many calls, no such prediction of theirs, or the database is down.
        """
        await self.charge(request, principal)
        image = await self._read_feedback_image(feedback)
        pending = self._services.recorder.find_pending(feedback.request_id)
        async with writing(self._services.engine) as session:
            was_right = await save_feedback(
                session,
                request_id=feedback.request_id,
                key_id=principal.key_id,
                label=feedback.label,
                comment=feedback.comment,
                image=image,
                pending=pending,
            )
        return FeedbackAnswer(request_id=feedback.request_id, was_right=was_right)

    async def list_predictions(
        self, principal: Principal, *, cursor: str | None, limit: int
    ) -> PredictionPage:
        """Read a page of a caller's own history.

        Args:
            principal: whose.
            cursor: of the page before.
            limit: most items.

        Returns:
            The page, newest first.

        Raises:
            GatewayError: a bad cursor, or the database is down.
        """
        async with reading(self._services.engine) as session:
            return await list_predictions(session, principal.key_id, cursor=cursor, limit=limit)

    async def describe_models(self) -> ModelsAnswer:
        """Tell what is served.

        Returns:
            The versions, and what answers. Shares are 0 while the database is down.

        Raises:
            UnavailableError: the model server does not answer.
        """
        services = self._services
        statuses, problem = await services.health.check()
        if not statuses:
            raise UnavailableError(
                f"the model server does not answer: {problem}", headers={"Retry-After": "2"}
            )
        shares = await self._read_shares()
        return ModelsAnswer(
            name=services.settings.model.name,
            label=services.settings.model.label,
            versions=[
                ModelVersion(
                    version=status.version,
                    state=status.state.name,
                    error=status.error,
                    share=shares.get(status.version, 0.0),
                )
                for status in statuses
            ],
            breaker=services.client.breaker_state,
            rules_version=services.rules.version,
        )

    def list_labels(self) -> Sequence[str]:
        """List the model's classes.

        Returns:
            Names in the model's order; empty until it has answered once.
        """
        return self._services.client.newest_classes

    async def _read_one(self, request: Request, principal: Principal) -> Upload:
        await self.charge(request, principal)
        (upload,) = await read_uploads(request, self._services.settings.upload, many=False)
        return upload

    def _asked(self, request: Request, principal: Principal, request_id: str = "") -> Asked:
        return Asked(
            request_id=request_id or get_request_id(request),
            key_id=principal.key_id,
            started_at=get_started_at(request),
            ends_at=time.monotonic() + self._services.settings.deadline_seconds,
        )

    async def _predict_item(self, index: int, upload: Upload, whole: Asked) -> BatchItem:
        request_id = new_request_id()
        asked = dataclasses.replace(whole, request_id=request_id, is_alone=False)
        try:
            answer = await self._services.predictor.predict(upload, asked)
        except GatewayError as error:
            self._services.metrics.count_error(error.code)
            return BatchItem(index=index, error=ErrorAnswer(**error.to_body(request_id)))
        return BatchItem(index=index, result=answer)

    async def _read_feedback_image(self, feedback: FeedbackRequest) -> bytes | None:
        if feedback.image is None:
            return None
        try:
            data = base64.b64decode(feedback.image, validate=True)
        except ValueError as error:  # not ASCII, or no base64
            raise BadRequestError(
                f"image is no base64: {error}", fix="Encode the file's bytes as base64."
            ) from error
        image = await self._services.predictor.strip(Upload(data))
        return image if self._services.rules.current.retention.review_image_days else None

    async def _read_shares(self) -> dict[int, float]:
        since = datetime.datetime.now(datetime.UTC) - TRAFFIC_TIME
        try:
            async with reading(self._services.engine) as session:
                return share_of_versions(await count_traffic(session, since))
        except UnavailableError:
            return {}
