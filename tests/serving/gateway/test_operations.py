"""What the API does, where no route of it is needed to see that."""

import asyncio
import base64

import pytest

from serving.gateway.api_types import FeedbackRequest
from serving.gateway.database.engine import reading
from serving.gateway.database.tables import ReviewItemRow
from serving.gateway.observability.metrics import GatewayMetrics
from serving.gateway.observability.tracing import Tracing
from serving.gateway.operations import Operations
from serving.gateway.scopes import CredentialKind, Principal, Scope
from serving.gateway.services import open_services
from serving.gateway.settings import GatewaySettings


class Request:
    """As much of a request as is charged."""

    class State:
        """Takes the rate headers."""

    state = State()


@pytest.mark.parametrize(("days", "is_kept"), [(30, True), (0, False)])
def test_the_picture_of_a_complaint_is_kept_only_where_pictures_are(
    tmp_path, make_record, draw_photo, encode, days, is_kept
):
    rules_file = tmp_path / "rules.yaml"
    rules_file.write_text(f"retention: {{review_image_days: {days}}}")
    settings = GatewaySettings(state_folder=tmp_path / "state", rules_file=rules_file)
    record = make_record()
    caller = Principal(record.key_id, frozenset({Scope.FEEDBACK}), CredentialKind.KEY)
    image = base64.b64encode(encode(draw_photo(48, 80), "PNG")).decode()
    feedback = FeedbackRequest(request_id=record.request_id, label="teapot", image=image)

    async def complain():
        async with open_services(settings, GatewayMetrics(), Tracing(None)) as services:
            services.recorder.record(record)
            await Operations(services).send_feedback(Request(), feedback, caller)
            async with reading(services.engine) as session:
                item = await session.get(ReviewItemRow, record.request_id)
                return item.status, await session.scalar(
                    ReviewItemRow.__table__.select().with_only_columns(ReviewItemRow.image)
                )

    status, kept = asyncio.run(complain())
    assert status == "waiting"
    assert (kept is not None) == is_kept
