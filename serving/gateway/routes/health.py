"""Whether the service lives, whether it can answer, and what it has counted."""

from typing import Any, Final

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from serving.gateway.auth.dependency import allow_everybody
from serving.gateway.observability.metrics import CONTENT_TYPE
from serving.gateway.routes.common import ServicesDep

router = APIRouter(tags=["health"], dependencies=[Depends(allow_everybody)])


class LiveAnswer(BaseModel):
    """The process lives."""

    status: str = Field(examples=["live"])


class ReadyAnswer(BaseModel):
    """Whether predictions are answered, and how the parts are."""

    is_ready: bool
    model_server: str = Field(description="`up`, or `down`", examples=["up"])
    breaker: str = Field(description="closed, open or half_open", examples=["closed"])
    has_fallback: bool = Field(description="whether it answers without the model server")
    database: str = Field(description="`up`, or `down`: records wait on disk", examples=["up"])
    records_waiting: int = Field(description="predictions that the database does not have yet")
    rules_version: int = Field(description="0 until the database has given one")
    are_rules_current: bool = Field(description="false when the rules file is wrong as it is now")


_NOT_READY: Final[dict[int | str, dict[str, Any]]] = {
    503: {"model": ReadyAnswer, "description": "No prediction can be answered."}
}


@router.get("/v1/health/live", response_model=LiveAnswer)
async def tell_live() -> LiveAnswer:
    """Tell that the process lives; a failure means: restart it.

    Returns:
        Always the same.
    """
    return LiveAnswer(status="live")


@router.get("/v1/health/ready", response_model=ReadyAnswer, responses=_NOT_READY)
async def tell_ready(services: ServicesDep) -> Response:
    """Tell whether predictions are answered; a failure means: send requests elsewhere.

    A database that is down is no reason: predictions go on without it.

    Args:
        services: the running gateway.

    Returns:
        The states of the parts.
    """
    _, problem = await services.health.check()
    has_fallback = services.fallback.can_answer(services.rules.current.default_answer)
    answer = ReadyAnswer(
        is_ready=has_fallback or not problem,
        model_server="down" if problem else "up",
        breaker=services.client.breaker_state,
        has_fallback=has_fallback,
        database="up" if services.recorder.is_database_up else "down",
        records_waiting=services.recorder.num_waiting,
        rules_version=services.rules.version,
        are_rules_current=not services.rules.problem,
    )
    return JSONResponse(answer.model_dump(), status_code=200 if answer.is_ready else 503)


@router.get("/metrics", response_class=Response, include_in_schema=False)
async def show_metrics(services: ServicesDep) -> Response:
    """Show what was counted, for Prometheus.

    Args:
        services: the running gateway.

    Returns:
        Prometheus' text format.
    """
    return Response(services.metrics.render(), media_type=CONTENT_TYPE)
