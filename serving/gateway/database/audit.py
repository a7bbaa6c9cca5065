"""Who changed what."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from serving.gateway.database.tables import AuditRow


def add_audit(
    session: AsyncSession,
    *,
    actor: str,
    action: str,
    subject: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Note a change; it is stored with the change itself, or not at all.

    Args:
        session: of `writing`, the one that changes.
        actor: key id, or the name of a command.
        action: what was done, such as `review.decide`.
        subject: what it was done to.
        details: JSON values; no secrets.
    """
    session.add(
        AuditRow(
            at=datetime.datetime.now(datetime.UTC),
            actor=actor,
            action=action,
            subject=subject,
            details=dict(details or {}),
        )
    )


async def list_audit(
    session: AsyncSession, *, limit: int = 100, before_id: int | None = None
) -> Sequence[AuditRow]:
    """Read changes.

    Args:
        session: of `reading`.
        limit: most entries.
        before_id: `audit_id` of the last entry of the page before.

    Returns:
        The newest first.
    """
    query = select(AuditRow).order_by(AuditRow.audit_id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(AuditRow.audit_id < before_id)
    return (await session.scalars(query)).all()
