"""What the API answers with; the OpenAPI document is made of these."""

import datetime

from pydantic import BaseModel, ConfigDict, Field

from serving.gateway.records import ReviewReason, Route

_REQUEST_ID = "3f2a9c1e5b7d4086a1c2e3f4a5b6c7d8"


class ClassProbability(BaseModel):
    """One class and how probable it is."""

    label: str
    probability: float = Field(ge=0, le=1)


class PredictionAnswer(BaseModel):
    """The answer to one image."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": _REQUEST_ID,
                    "label": "mug",
                    "probability": 0.973,
                    "top_k": [
                        {"label": "mug", "probability": 0.973},
                        {"label": "bottle", "probability": 0.014},
                    ],
                    "model_version": 1795268425,
                    "route": "stable",
                    "needs_review": False,
                    "review_reasons": [],
                }
            ]
        }
    )

    request_id: str = Field(description="quote it in /v1/feedback")
    label: str
    probability: float = Field(ge=0, le=1, description="of the model's own answer")
    top_k: list[ClassProbability]
    model_version: int = Field(description="0 for a fallback")
    route: Route
    needs_review: bool
    review_reasons: list[ReviewReason]


class ErrorAnswer(BaseModel):
    """Why a request, or one image of a batch, was refused."""

    error: str = Field(description="one sentence")
    code: str = Field(description="a stable name for programs")
    request_id: str
    got: str | None = None
    accepted: str | None = None
    fix: str | None = None


class BatchItem(BaseModel):
    """One image of a batch: its answer or its error."""

    index: int = Field(ge=0, description="place of the image in the request")
    result: PredictionAnswer | None = None
    error: ErrorAnswer | None = None


class BatchAnswer(BaseModel):
    """The answer to many images, in the order of the request."""

    items: list[BatchItem]
    num_errors: int


class FeedbackRequest(BaseModel):
    """What the picture really shows."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"request_id": _REQUEST_ID, "label": "bottle"}]},
    )

    request_id: str = Field(pattern="^[0-9a-f]{32}$")
    label: str = Field(min_length=1, max_length=200, description="the true class")
    comment: str = Field(default="", max_length=2000)
    image: str | None = Field(
        default=None,
        min_length=1,
        description="the picture once more, base64; kept, without its metadata, only for review",
    )


class FeedbackAnswer(BaseModel):
    """The feedback was kept."""

    request_id: str
    was_right: bool = Field(description="whether the answer had this label")


class PredictionEntry(BaseModel):
    """One line of the caller's own history."""

    request_id: str
    created_at: datetime.datetime
    label: str
    probability: float
    model_version: int
    route: Route
    needs_review: bool
    feedback: str | None = None


class PredictionPage(BaseModel):
    """A page of the caller's own history, newest first."""

    items: list[PredictionEntry]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page")


class ModelVersion(BaseModel):
    """One version at the model server."""

    version: int
    state: str
    error: str = ""
    share: float = Field(ge=0, le=1, description="of the answers of the last hour")


class ModelsAnswer(BaseModel):
    """What is served, and what answers."""

    name: str
    label: str = Field(description="version label that is asked for; empty for the newest")
    versions: list[ModelVersion]
    breaker: str = Field(description="closed, open or half_open")
    rules_version: int
