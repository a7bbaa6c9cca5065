"""What a person sees of runs on Kubeflow."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from kfp_server_api import V2beta1Run
from rich.console import Console

from pipeline.cli.kubeflow_progress import duration_text, render_runs, show_run
from pipeline.kubeflow.runs import RunRow
from pipeline.kubeflow.watch import StageProgress

LINK = "http://kubeflow.example/#/runs/details/00000000-0000-0000-0000-000000000007"


def screen(width):
    return Console(file=io.StringIO(), force_terminal=True, width=width)


def late_run():
    return V2beta1Run(run_id="7", state="RUNNING", created_at=datetime(2020, 1, 1, tzinfo=UTC))


def test_a_terminal_gets_a_table_that_says_what_is_stuck():
    console = screen(100)
    with show_run(console, "ml") as report:
        report(late_run(), [])
        report(late_run(), [StageProgress("Trainer", "PENDING", 600)])
    shown = console.file.getvalue()
    assert "waits for its pod, 10 min 00 s" in shown
    assert "Trainer has waited 10 minutes" in shown


def test_a_log_gets_a_line_per_change_and_one_warning():
    console = Console(file=io.StringIO(), width=40)
    with show_run(console, "ml") as report:
        for seconds in (600, 610, 620):
            report(late_run(), [StageProgress("Trainer", "PENDING", seconds)])
    first, second = console.file.getvalue().splitlines()
    assert first == "Trainer: waits for its pod, 10 min 00 s"
    assert second.endswith("kubectl -n ml describe pods -l pipeline/runid=7")


@pytest.mark.parametrize(("width", "is_wide"), [(90, False), (200, True)])
def test_a_link_that_does_not_fit_is_a_word_to_click(width, is_wide):
    row = RunRow("7", "nightly", "FAILED", None, None, "git-1", "v1", LINK)
    console = screen(width)
    console.print(render_runs([row], is_wide=is_wide))
    shown = console.file.getvalue()
    assert f";{LINK}" in shown  # the terminal's own hyperlink
    assert ("open" in shown) is not is_wide


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (184, "3 min 04 s"), (3720, "1 h 02 min")]
)
def test_durations_are_short(seconds, text):
    assert duration_text(timedelta(seconds=seconds)) == text


def test_an_unknown_duration_is_left_out():
    assert not duration_text(None)
