import json
import time

import pytest

from serving.gateway.console.status_log import StatusLog
from serving.gateway.console.windows import WINDOWS, find_window


@pytest.fixture
def counts():
    return {"2xx": 100.0}


def total(log, window_name="1h"):
    _, statuses = log.read(find_window(window_name))
    return {name: sum(steps) for name, steps in statuses.items() if sum(steps)}


def test_what_rises_between_samples_is_counted_once(tmp_path, counts):
    log = StatusLog(tmp_path, lambda: counts)
    log.sample(time.time())
    counts |= {"2xx": 130.0, "5xx": 2.0}
    log.sample(time.time())
    log.sample(time.time())
    for window in WINDOWS:
        assert total(log, window.name) == {"2xx": 30, "5xx": 2}


def test_counts_of_before_the_log_are_not_news(tmp_path, counts):
    log = StatusLog(tmp_path, lambda: counts)
    log.sample(time.time())
    assert total(log) == {}


def test_processes_add_up_and_outlive_themselves(tmp_path, counts):
    logs = [StatusLog(tmp_path, lambda: counts) for _ in range(3)]
    for log in logs:
        log.sample(time.time())
    counts["2xx"] += 5
    for log in logs:
        log.sample(time.time())
    assert total(StatusLog(tmp_path, lambda: counts)) == {"2xx": 15}


@pytest.mark.parametrize("damage", [b"", b'{"15": {', b"\xff\xfe"])
def test_a_damaged_file_of_another_process_hides_nothing_else(tmp_path, counts, damage):
    log = StatusLog(tmp_path, lambda: counts)
    counts["2xx"] += 3
    log.sample(time.time())
    (tmp_path / "0123456789abcdef.json").write_bytes(damage)
    assert total(log) == {"2xx": 3}


def test_a_step_holds_what_happened_in_it(tmp_path, counts):
    log = StatusLog(tmp_path, lambda: counts)
    now = time.time()
    log.sample(now - 1000)
    counts["2xx"] += 7
    log.sample(now - 600)
    window = find_window("1h")
    start, statuses = log.read(window)
    (step,) = [place for place, count in enumerate(statuses["2xx"]) if count]
    assert start + step * 60 <= now - 600 < start + (step + 1) * 60


def test_old_bins_and_files_are_forgotten(tmp_path, counts):
    old = tmp_path / "0123456789abcdef.json"
    old.write_text(json.dumps({"15": {}, "300": {}}))
    log = StatusLog(tmp_path, lambda: counts)
    log.sample(time.time())
    counts["2xx"] += 1
    log.sample(time.time())
    assert old.exists()
    log.sample(time.time() + 25 * 3600)
    assert not old.exists()
    (file,) = tmp_path.glob("*.json")
    assert json.loads(file.read_text()) == {"15": {}, "300": {}}
