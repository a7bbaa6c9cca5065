"""What each page shows; templates know nothing else."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from serving.gateway.console.charts import Chart
from serving.gateway.console.drift_report import DriftReport
from serving.gateway.console.windows import Window
from serving.gateway.records import ReviewReason, Route
from serving.gateway.scopes import Principal, Scope

REASONS = {
    ReviewReason.MODEL: "the model is unsure",
    ReviewReason.PROBABILITY: "low probability",
    ReviewReason.MARGIN: "small lead over the next class",
    ReviewReason.CLASS_THRESHOLD: "below the threshold of its class",
    ReviewReason.DENIED: "never answered without a human",
    ReviewReason.FALLBACK: "answered by the fallback",
    ReviewReason.COMPLAINT: "its owner disagrees",
}
"""Why a human should look, as people read it."""
ROUTES = {
    Route.STABLE: "stable",
    Route.CANARY: "canary",
    Route.SHADOW: "shadow",
    Route.FALLBACK_MODEL: "fallback model",
    Route.FALLBACK_DEFAULT: "default answer",
}
"""Which model answered, as people read it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """An entry of the navigation.

    Attributes:
        name: of the page; also of its icon.
        title: as people read it.
        path: address.
    """

    name: str
    title: str
    path: str


_LINKS = (
    (Scope.PREDICT, Link("try", "Try", "/console/try")),
    (Scope.ADMIN, Link("review", "Review", "/console/review")),
    (Scope.READ, Link("versions", "Traffic", "/console/versions")),
    (Scope.READ, Link("live", "Live", "/console/live")),
    (Scope.READ, Link("drift", "Drift", "/console/drift")),
    (Scope.ADMIN, Link("rules", "Rules", "/console/rules")),
    (Scope.ADMIN, Link("audit", "Audit", "/console/audit")),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """What is around every page of somebody who is signed in.

    Attributes:
        page: name of the page.
        principal: who looks.
        form_token: what every form of the session carries.
        links: pages that the viewer may see.
    """

    page: str
    principal: Principal
    form_token: str
    links: Sequence[Link]


def make_frame(page: str, principal: Principal, form_token: str) -> Frame:
    """Make what is around a page.

    Args:
        page: name of the page.
        principal: who looks.
        form_token: of the session.

    Returns:
        The frame, with links to what the viewer may see.
    """
    links = [link for scope, link in _LINKS if principal.may(scope)]
    return Frame(page, principal, form_token, links)


@dataclasses.dataclass(frozen=True, slots=True)
class SignInView:
    """The page to sign in at.

    Attributes:
        form_token: of the visitor.
        next_path: page to go on to.
        problem: why the last attempt failed; empty before the first.
    """

    form_token: str
    next_path: str
    problem: str


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorView:
    """A page that cannot be shown.

    Attributes:
        status: HTTP status.
        message: what is wrong.
        got: what was received; may be empty.
        fix: what to do; may be empty.
    """

    status: int
    message: str
    got: str
    fix: str


@dataclasses.dataclass(frozen=True, slots=True)
class TryView:
    """The page that classifies an image.

    Attributes:
        labels: class names, offered when an answer is wrong; may be empty.
        can_judge: whether the viewer may send feedback.
        max_image_bytes: largest accepted image.
        reasons: why a human should look, code to text.
        routes: which model answered, code to text.
    """

    labels: Sequence[str]
    can_judge: bool
    max_image_bytes: int
    reasons: Mapping[str, str]
    routes: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class ClassChoice:
    """A class that a picture may show.

    Attributes:
        label: class name.
        key: the key that chooses it; empty once keys have run out.
        is_guess: whether the model answered it.
        probability: what the model gave it, 0..1; None where it was not among the best.
    """

    label: str
    key: str
    is_guess: bool
    probability: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class ReviewItem:
    """A picture that waits.

    Attributes:
        request_id: of the prediction.
        created_at: when it was answered.
        guess: the model's answer.
        probability: of the guess, 0..1.
        model_version: version that answered.
        reasons: why a human should look.
        comments: what callers say that it shows, label and comment.
    """

    request_id: str
    created_at: datetime.datetime
    guess: str
    probability: float
    model_version: int
    reasons: Sequence[str]
    comments: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Undo:
    """What the viewer did last.

    Attributes:
        request_id: of the item.
        label: what it was said to show; empty when it was discarded.
    """

    request_id: str
    label: str


@dataclasses.dataclass(frozen=True, slots=True)
class ReviewView:
    """The review queue.

    Attributes:
        item: what waits; None when nothing does.
        choices: the classes.
        num_waiting: items that wait.
        num_decided: items that are decided or discarded.
        skip: how many items were left out.
        next_request_id: of the item after this one, to be fetched early; empty where there is none.
        undo: what can be taken back; None where nothing can.
    """

    item: ReviewItem | None
    choices: Sequence[ClassChoice]
    num_waiting: int
    num_decided: int
    skip: int
    next_request_id: str
    undo: Undo | None


@dataclasses.dataclass(frozen=True, slots=True)
class VersionRow:
    """One version in one window.

    Attributes:
        version: the version; 0 for a fallback.
        state: at the model server; empty where it is not there.
        error: why it is not available.
        count: its answers.
        share: of all answers, 0..1.
        routes: how it was reached.
        review_share: of its answers, those that a human should see; None without answers.
        probability: mean; None without answers.
        median_ms: latency, milliseconds.
        slowest_ms: its 95th percentile.
        judged: answers with feedback.
        right_share: of those, the confirmed ones; None without any.
        colour: number of its colour on charts.
    """

    version: int
    state: str
    error: str
    count: int
    share: float
    routes: Sequence[str]
    review_share: float | None
    probability: float | None
    median_ms: float | None
    slowest_ms: float | None
    judged: int
    right_share: float | None
    colour: int


@dataclasses.dataclass(frozen=True, slots=True)
class VersionsView:
    """Traffic and versions.

    Attributes:
        window: what is shown.
        model_name: the model.
        asked_label: version label that is asked for; empty for the newest version.
        breaker: closed, open or half_open; empty where the model server did not answer.
        rules_version: of the business rules.
        problem: why the model server's versions are unknown; empty when they are not.
        rows: the versions, newest first.
        chart: answers by version over time.
    """

    window: Window
    model_name: str
    asked_label: str
    breaker: str
    rules_version: int
    problem: str
    rows: Sequence[VersionRow]
    chart: Chart


@dataclasses.dataclass(frozen=True, slots=True)
class Tile:
    """One number.

    Attributes:
        name: what it is.
        value: as people read it.
        note: what it means.
        tone: `plain`, `good`, `warning` or `bad`.
    """

    name: str
    value: str
    note: str
    tone: str


@dataclasses.dataclass(frozen=True, slots=True)
class LiveView:
    """What happens now.

    Attributes:
        window: what is shown.
        tiles: the numbers.
        charts: the charts.
        confidence: share of answers in each tenth of the probability, 0..1.
        problem: why the charts of the prediction log are missing; empty when they are not.
    """

    window: Window
    tiles: Sequence[Tile]
    charts: Sequence[Chart]
    confidence: Sequence[float]
    problem: str


@dataclasses.dataclass(frozen=True, slots=True)
class DriftView:
    """Drift state.

    Attributes:
        report: the newest report; None where there is none.
        is_configured: whether the gateway knows where reports are.
        problem: why the report cannot be shown; empty when it can.
    """

    report: DriftReport | None
    is_configured: bool
    problem: str


@dataclasses.dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change.

    Attributes:
        audit_id: its number.
        at: when.
        actor: who.
        action: what was done.
        subject: to what.
        details: more about it.
    """

    audit_id: int
    at: datetime.datetime
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class AuditView:
    """The audit log.

    Attributes:
        entries: newest first.
        next_before: where the next page begins; None on the last.
    """

    entries: Sequence[AuditEntry]
    next_before: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class RulesVersion:
    """A version of the business rules.

    Attributes:
        version: its number.
        applied_at: when it was first used.
        content: the rules as JSON, indented.
        changed: names of the rules that differ from the version before.
    """

    version: int
    applied_at: datetime.datetime
    content: str
    changed: Sequence[str]


@dataclasses.dataclass(frozen=True, slots=True)
class RulesView:
    """The business rules.

    Attributes:
        versions: newest first.
    """

    versions: Sequence[RulesVersion]
