"""Versions of the business rules."""

import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from serving.gateway.database.audit import add_audit
from serving.gateway.database.statements import insert_into
from serving.gateway.database.tables import RulesRow
from serving.gateway.rules import BusinessRules


async def store_rules(session: AsyncSession, rules: BusinessRules, *, source: str) -> int:
    """Give rules their version; the same rules have the same version for ever.

    Args:
        session: of `writing`.
        rules: checked rules.
        source: where they are from, for the audit log.

    Returns:
        The version, 1 for the first rules of this database.
    """
    fingerprint = rules.fingerprint()
    insert = insert_into(session, RulesRow).values(
        fingerprint=fingerprint,
        content=rules.to_json(),
        applied_at=datetime.datetime.now(datetime.UTC),
    )
    inserted = insert.on_conflict_do_nothing(index_elements=["fingerprint"]).returning(
        RulesRow.version
    )
    # Reading first: a conflict would burn a number of PostgreSQL's sequence at every start.
    version = await _find_version(session, fingerprint)
    if version is None:
        version = (await session.execute(inserted)).scalar_one_or_none()
        if version is not None:
            details = {"version": version, "fingerprint": fingerprint}
            add_audit(session, actor="gateway", action="rules.new", subject=source, details=details)
    if version is None:  # another process was faster
        version = await _find_version(session, fingerprint)
    return version or 0


async def read_rules_version(session: AsyncSession, version: int) -> BusinessRules | None:
    """Read rules as they were.

    Args:
        session: of `reading`.
        version: as in `predictions.rules_version`.

    Returns:
        The rules, or None when there is no such version.
    """
    row = await session.get(RulesRow, version)
    return BusinessRules.model_validate_json(row.content) if row else None


async def _find_version(session: AsyncSession, fingerprint: str) -> int | None:
    query = select(RulesRow.version).where(RulesRow.fingerprint == fingerprint)
    return await session.scalar(query)
