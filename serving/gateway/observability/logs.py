"""Every line on standard output is one JSON object, whoever logs it."""

import contextlib
import logging
import sys
from collections.abc import Generator, Mapping, MutableMapping
from typing import Any, Final, TextIO

import orjson
import structlog
from opentelemetry import trace

from serving.gateway.observability.redaction import redact_event

ACCESS_LOGGER: Final = "serving.gateway.access"

_QUIET: Final = {
    "uvicorn.access": logging.CRITICAL,  # the middleware writes access lines
    "sqlalchemy": logging.WARNING,  # below it logs statements with their values
    "asyncio": logging.WARNING,
    "httpx": logging.WARNING,
    "urllib3": logging.WARNING,
    "PIL": logging.WARNING,
    "python_multipart": logging.WARNING,
}


def configure_logs(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Send the logs of this process, those of libraries included, to one stream as JSON.

    Args:
        stream: where to; None for standard output.
        level: the least important lines that are written.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact_event,
                structlog.processors.JSONRenderer(serializer=_to_json),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)


@contextlib.contextmanager
def log_fields(**fields: str) -> Generator[None]:
    """Add fields to every line that is logged in a block, in threads it starts too.

    Args:
        fields: such as `request_id`.

    Yields:
        Nothing.
    """
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def _add_trace(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _to_json(event: Mapping[str, Any], **_options: Any) -> str:
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(event, default=str, option=options).decode()
    except TypeError:
        # A lone surrogate, or a number beyond 64 bits: the line is worth more than its exact text.
        safe = {str(name): ascii(value) for name, value in event.items()}
        return orjson.dumps(safe).decode()
