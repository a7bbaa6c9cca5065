import logging

import pytest

from pipeline.events import DONE, EventRecorder, read_events


@pytest.fixture
def recorder(tmp_path):
    recorder = EventRecorder(tmp_path / "events.jsonl")
    logger = logging.getLogger("loupe.test_events")
    logger.addHandler(recorder)
    logger.setLevel(logging.INFO)
    yield recorder
    logger.removeHandler(recorder)
    recorder.close()


def events_of(tmp_path):
    return [event for event, _ in read_events(tmp_path / "events.jsonl")]


def tfx_says(message, *arguments):
    return logging.LogRecord("absl", logging.INFO, "x.py", 1, message, arguments, None)


def test_tfx_messages_become_stages(recorder, tmp_path):
    recorder.handle(tfx_says("Component %s is running.", "Trainer"))
    recorder.handle(tfx_says("A cached execution %d is used.", 7))
    recorder.handle(tfx_says("Component %s is finished.", "Trainer"))
    recorder.handle(tfx_says("node %s is running.", "Pusher"))
    recorder.handle(tfx_says("something else %s", "Pusher"))
    recorder.handle(tfx_says("node %s is finished.", "Pusher"))
    events = [(e.kind, e.stage, e.is_cached) for e in events_of(tmp_path)]
    assert events == [
        ("started", "Trainer", False),
        ("finished", "Trainer", True),
        ("started", "Pusher", False),
        ("finished", "Pusher", False),
    ]


def test_messages_of_stages_become_progress_and_warnings(recorder, tmp_path):
    logger = logging.getLogger("loupe.test_events")
    progress = {"done": 1, "total": 2, "unit": "images"}
    logger.info("read %d of %d", 1, 2, extra={"progress": progress})
    logger.warning("not blessed: %s", "why")
    events = [(e.kind, e.text, e.progress) for e in events_of(tmp_path)]
    assert events == [("progress", "read 1 of 2", progress), ("warning", "not blessed: why", {})]


def test_the_first_stage_is_announced_once(recorder):
    calls = []
    recorder.on_first_stage = lambda: calls.append(1)
    for stage in ("ExampleGen", "Trainer"):
        recorder.handle(tfx_says("Component %s is running.", stage))
    assert calls == [1]


def test_a_half_written_line_waits_for_its_end(recorder, tmp_path):
    recorder.write(DONE, text="pushed")
    path = tmp_path / "events.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:10])
    ((event, offset),) = read_events(path)
    assert event.text == "pushed"
    path.write_bytes(whole + whole)
    assert len(list(read_events(path, offset))) == 1


def test_no_file_means_no_events(tmp_path):
    assert list(read_events(tmp_path / "nothing")) == []
