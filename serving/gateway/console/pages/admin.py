"""Business rules and the audit log, for administrators."""

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from serving.gateway.console.access import Viewer, frame_page, need, read_number
from serving.gateway.console.parts import get_parts
from serving.gateway.console.templating import Pages
from serving.gateway.database.audit import list_audit
from serving.gateway.database.engine import reading
from serving.gateway.database.tables import RulesRow
from serving.gateway.scopes import Scope

_PAGE_ENTRIES: Final = 50
_MAX_VERSIONS: Final = 20
_MAX_ID: Final = 2**31 - 1
_IsAdmin = Annotated[Viewer, Depends(need(Scope.ADMIN))]


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


def add_admin_pages(router: APIRouter, pages: Pages) -> None:
    """Add the routes.

    Args:
        router: of the console.
        pages: renders templates.
    """

    @router.get("/audit")
    async def show_audit(request: Request, viewer: _IsAdmin, before: str = "") -> Response:
        async with reading(get_parts(request).engine) as session:
            rows = await list_audit(
                session, limit=_PAGE_ENTRIES + 1, before_id=read_number(before, _MAX_ID)
            )
        entries = [
            AuditEntry(row.audit_id, row.at, row.actor, row.action, row.subject, row.details)
            for row in rows[:_PAGE_ENTRIES]
        ]
        is_more = len(rows) > _PAGE_ENTRIES
        view = AuditView(entries, entries[-1].audit_id if is_more else None)
        return pages.render("audit.html", frame=frame_page(request, viewer, "audit"), view=view)

    @router.get("/rules")
    async def show_rules(request: Request, viewer: _IsAdmin) -> Response:
        query = sa.select(RulesRow).order_by(RulesRow.version.desc()).limit(_MAX_VERSIONS)
        async with reading(get_parts(request).engine) as session:
            rows = (await session.scalars(query)).all()
        view = RulesView(make_versions(rows))
        return pages.render("rules.html", frame=frame_page(request, viewer, "rules"), view=view)


def make_versions(rows: Sequence[RulesRow]) -> list[RulesVersion]:
    """Say what changed from version to version.

    Args:
        rows: newest first.

    Returns:
        The versions, newest first; the oldest one says nothing about changes.
    """
    contents: list[dict[str, Any]] = [json.loads(row.content) for row in rows]
    older: list[dict[str, Any] | None] = [*contents[1:], None]
    return [
        RulesVersion(
            version=row.version,
            applied_at=row.applied_at,
            content=json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True),
            changed=[] if before is None else find_changes(before, content),
        )
        for row, content, before in zip(rows, contents, older, strict=True)
    ]


def find_changes(before: Any, after: Any, name: str = "") -> list[str]:
    """Compare two rules.

    Args:
        before: the older content.
        after: the newer content.
        name: of the part that is compared.

    Returns:
        Names of the rules that differ, with dots between the levels.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            change
            for key in sorted(before.keys() | after.keys())
            for change in find_changes(
                before.get(key), after.get(key), f"{name}.{key}" if name else key
            )
        ]
    return [] if before == after else [name]
