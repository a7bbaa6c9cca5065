"""Every line on standard output is one JSON object, whoever logs it."""

import contextlib
import functools
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
    finish: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        redact_event,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]
    output: TextIO = stream or sys.stdout
    # Our own lines, one for each request, do not take the long way through the standard library.
    structlog.configure(
        processors=[*shared, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=functools.partial(_LineLogger, output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
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


class _LineLogger:
    def __init__(self, stream: TextIO, name: str) -> None:
        self.name = name  # where `add_logger_name` looks for it
        self._stream = stream

    def _write(self, line: str) -> None:
        # Like the standard library's handlers: a log that cannot be written fails no request.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = _write


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
