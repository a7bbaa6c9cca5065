"""Lines of the log, of a process of its own: its handlers are global."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]


def run(program):
    """Lines that a program logs."""
    program = "from serving.gateway.observability.logs import *\nconfigure_logs()\n" + program
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_every_logger_writes_json():
    lines = run("""
import warnings
structlog.stdlib.get_logger("ours").info("hello", seconds=0.5, path="a\\nb", name=b"xyz")
logging.getLogger("uvicorn.error").warning("started %s", "here")
logging.getLogger("uvicorn.access").info("not written: the middleware does")
logging.getLogger("sqlalchemy.engine").info("not written: statements hold values")
logging.getLogger("any").debug("not written")
warnings.warn("careful")
""")
    assert [line["event"].splitlines()[0][-12:] for line in lines[:2]] == ["hello", "started here"]
    assert [line["level"] for line in lines] == ["info", "warning", "warning"]
    assert [line["logger"] for line in lines] == ["ours", "uvicorn.error", "py.warnings"]
    assert lines[0]["path"] == "a\nb"
    assert lines[0]["seconds"] == 0.5
    assert lines[0]["name"] == "<3 bytes>"
    assert lines[0]["time"].endswith("Z")


def test_errors_keep_their_traceback_and_lose_secrets():
    (line,) = run("""
from serving.gateway.auth.keys import make_key
key = make_key().text
try:
    raise ValueError(f"no {key} in {bytes(range(200))!r} of postgresql://me:hunter2@host/x")
except ValueError:
    structlog.stdlib.get_logger("ours").exception("failed", headers={"Authorization": key})
""")
    assert "ValueError: no lk_" in line["exception"]
    assert "_*** in <bytes> of postgresql://me:***@host/x" in line["exception"]
    assert line["headers"] == {"Authorization": "***"}
    assert "Traceback" in line["exception"]


def test_ids_of_the_request_and_the_trace_are_on_every_line_inside():
    lines = run("""
from serving.gateway.observability.tracing import Tracing
log = logging.getLogger("library")
with log_fields(request_id="r1"), Tracing(None).request_span("x", {}):
    log.warning("inside")
log.warning("outside")
""")
    assert lines[0]["request_id"] == "r1"
    assert len(lines[0]["trace_id"]) == 32 and len(lines[0]["span_id"]) == 16
    assert not {"request_id", "trace_id", "span_id"} & lines[1].keys()


def test_what_json_cannot_hold_is_written_all_the_same():
    lines = run("""
log = structlog.stdlib.get_logger("ours")
log.info("surrogate", text="\\ud800")
log.info("number", count=2**70)
log.info("names", values={1: {2}})
""")
    assert [line["event"].strip("'") for line in lines] == ["surrogate", "number", "names"]
    assert lines[0]["text"] == "'\\ud800'"
    assert str(2**70) in lines[1]["count"]
    assert lines[2]["values"] == {"1": [2]}


def test_a_log_that_cannot_be_written_fails_nobody():
    lines = run("""
import io, sys
class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")
configure_logs(Full())
structlog.stdlib.get_logger("ours").error("lost")
configure_logs()
structlog.stdlib.get_logger("ours").error("went on")
structlog.stdlib.get_logger("ours").debug("not written")
""")
    assert [line["event"] for line in lines] == ["went on"]
