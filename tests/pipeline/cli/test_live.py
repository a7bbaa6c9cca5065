import io

from rich.console import Console
from rich.spinner import Spinner

from pipeline.cli.live import RunView, render, show_live
from pipeline.events import DONE, FINISHED, PROGRESS, STARTED, WARNING, Event


def view_of(*events):
    view = RunView()
    for event in events:
        view.take(event)
    return view


def drawn(view, width=100):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(render(view, now=110.0, spinner=Spinner("dots")))
    return console.file.getvalue()


def test_every_stage_has_a_row_from_the_start():
    rows = drawn(RunView()).splitlines()
    assert [row.split()[0] for row in rows][:3] == ["Data", "ExampleGen", "StatisticsGen"]


def test_stage_names_are_whole_beside_long_messages():
    view = view_of(
        Event(STARTED, "ExampleValidator", 100.0),
        Event(PROGRESS, "ExampleValidator", 101.0, text="word " * 80),
    )
    assert "ExampleValidator" in drawn(view, width=80)


def test_a_running_stage_shows_time_and_message():
    view = view_of(
        Event(STARTED, "Trainer", 100.0),
        Event(PROGRESS, "Trainer", 105.0, text="epoch 2", progress={"done": 1, "total": 2}),
    )
    (row,) = [row for row in drawn(view).splitlines() if "Trainer" in row]
    assert "10 s" in row
    assert "epoch 2" in row
    assert "━" in row


def test_a_cached_stage_says_so():
    view = view_of(
        Event(STARTED, "Trainer", 100.0), Event(FINISHED, "Trainer", 100.1, is_cached=True)
    )
    assert "cached" in drawn(view)


def test_a_stage_that_was_passed_over_is_off():
    rows = drawn(view_of(Event(STARTED, "Trainer", 100.0))).splitlines()
    assert [row.split() for row in rows if "Tuner" in row] == [["Tuner", "off"]]
    assert [row.split() for row in rows if "Pusher" in row] == [["Pusher"]]


def test_the_lookup_of_the_baseline_is_no_stage_to_a_person():
    view = view_of(
        Event(STARTED, "LastBlessedModel", 1.0), Event(FINISHED, "LastBlessedModel", 2.0)
    )
    assert "LastBlessedModel" not in drawn(view)
    assert view.news == []


def test_where_nothing_can_be_redrawn_each_event_is_a_line():
    console = Console(file=io.StringIO(), force_terminal=False)
    view = view_of(
        Event(STARTED, "Pusher", 1.0),
        Event(WARNING, "Pusher", 1.5, text="not pushed"),
        Event(PROGRESS, "Pusher", 1.6, text="almost"),
        Event(FINISHED, "Pusher", 3.0),
        Event(DONE, "Pusher", 3.0, text="pushed"),
    )
    with show_live(console, view) as refresh:
        refresh()
        refresh()
    lines = console.file.getvalue().splitlines()
    assert lines == ["Pusher: warning: not pushed", "Pusher: 2.0 s, almost"]
    assert view.status == "pushed"
