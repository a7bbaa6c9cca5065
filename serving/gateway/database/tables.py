"""The tables; migrations/ brings a database to this shape."""

import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column

REQUEST_ID_LENGTH = 32
KEY_ID_LENGTH = 128
LABEL_LENGTH = 200


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """A moment in UTC; SQLite forgets the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Refuse moments without a zone, store the others in UTC.

        Args:
            value: a moment with a zone.
            dialect: unused.

        Returns:
            The moment in UTC.

        Raises:
            ValueError: the moment has no zone.
        """
        del dialect
        if value is not None and value.tzinfo is None:
            raise ValueError(f"moment {value} has no time zone, expected one. Use datetime.UTC.")
        return value and value.astimezone(datetime.UTC)

    def process_result_value(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Give a moment its zone.

        Args:
            value: what the database stores.
            dialect: unused.

        Returns:
            The moment in UTC.
        """
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value


class Base(DeclarativeBase):
    """Base of every table."""


class ApiKeyRow(Base):
    """A credential; the key itself is nowhere, only its keyed hash."""

    __tablename__ = "api_keys"

    key_id: Mapped[str] = mapped_column(String(KEY_ID_LENGTH), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    previous_hash: Mapped[str | None] = mapped_column(String(64))  # of the secret before rotation
    previous_expires_at: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime)


class PredictionRow(Base):
    """One answer; fields as in `serving.gateway.records.PredictionRecord`."""

    __tablename__ = "predictions"
    __table_args__ = (
        Index("predictions_by_key", "key_id", "created_at"),
        Index("predictions_by_time", "created_at"),
    )

    request_id: Mapped[str] = mapped_column(String(REQUEST_ID_LENGTH), primary_key=True)
    created_at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)
    key_id: Mapped[str] = mapped_column(String(KEY_ID_LENGTH))
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[int] = mapped_column(BigInteger)
    label: Mapped[str] = mapped_column(String(LABEL_LENGTH))
    model_label: Mapped[str] = mapped_column(String(LABEL_LENGTH))
    probability: Mapped[float] = mapped_column(Float)
    margin: Mapped[float] = mapped_column(Float)
    top_k: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    needs_review: Mapped[bool] = mapped_column(Boolean)
    review_reasons: Mapped[list[str]] = mapped_column(JSON)
    route: Mapped[str] = mapped_column(String(32))
    rules_version: Mapped[int] = mapped_column(Integer)
    image_format: Mapped[str] = mapped_column(String(8))
    image_bytes: Mapped[int] = mapped_column(Integer)
    image_width: Mapped[int] = mapped_column(Integer)
    image_height: Mapped[int] = mapped_column(Integer)
    image_brightness: Mapped[float] = mapped_column(Float)
    image_contrast: Mapped[float] = mapped_column(Float)
    image_sharpness: Mapped[float] = mapped_column(Float)
    image_saturation: Mapped[float] = mapped_column(Float)
    image_dhash: Mapped[str] = mapped_column(String(16))
    latency_ms: Mapped[float] = mapped_column(Float)
    model_ms: Mapped[float] = mapped_column(Float)


class FeedbackRow(Base):
    """What a caller says that a picture shows; a later word of the same caller replaces it."""

    __tablename__ = "feedback"
    __table_args__ = (UniqueConstraint("request_id", "key_id", name="one_feedback_a_caller"),)

    feedback_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    request_id: Mapped[str] = mapped_column(String(REQUEST_ID_LENGTH), index=True)
    key_id: Mapped[str] = mapped_column(String(KEY_ID_LENGTH))
    created_at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)
    label: Mapped[str] = mapped_column(String(LABEL_LENGTH))
    comment: Mapped[str] = mapped_column(Text)


class ReviewItemRow(Base):
    """A picture that waits for a human, or that one has decided."""

    __tablename__ = "review_items"
    __table_args__ = (Index("review_items_by_status", "status", "created_at"),)

    request_id: Mapped[str] = mapped_column(String(REQUEST_ID_LENGTH), primary_key=True)
    created_at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)
    reasons: Mapped[list[str]] = mapped_column(JSON)
    guess: Mapped[str] = mapped_column(String(LABEL_LENGTH))
    probability: Mapped[float] = mapped_column(Float)
    model_version: Mapped[int] = mapped_column(BigInteger)
    image: Mapped[bytes | None] = deferred(mapped_column(LargeBinary))
    status: Mapped[str] = mapped_column(String(16))  # see ReviewStatus
    decided_label: Mapped[str | None] = mapped_column(String(LABEL_LENGTH))
    decided_by: Mapped[str | None] = mapped_column(String(KEY_ID_LENGTH))
    decided_at: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime)
    span: Mapped[int | None] = mapped_column(Integer)


class RulesRow(Base):
    """A version of the business rules."""

    __tablename__ = "rules"
    __table_args__ = (UniqueConstraint("fingerprint", name="one_version_a_content"),)

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    content: Mapped[str] = mapped_column(Text)
    applied_at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """Who changed what."""

    __tablename__ = "audit_log"

    audit_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[datetime.datetime] = mapped_column(UtcDateTime, index=True)
    actor: Mapped[str] = mapped_column(String(KEY_ID_LENGTH))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


class BucketRow(Base):
    """A token bucket that several processes share."""

    __tablename__ = "throttle_buckets"

    bucket: Mapped[str] = mapped_column(String(KEY_ID_LENGTH + 16), primary_key=True)
    tokens: Mapped[float] = mapped_column(Float)
    updated_at: Mapped[float] = mapped_column(Float)  # seconds since 1970
