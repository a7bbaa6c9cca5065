import shutil
import sys

import pytest

from benchmarks.processes import Cost
from benchmarks.runs import (
    BenchmarkSettings,
    LoupeRun,
    fresh_folder,
    last_json_line,
    run_loupe,
    run_plain,
)
from configs.errors import StageError
from pipeline.summary import RunSummary


@pytest.fixture
def settings(tmp_path):
    return BenchmarkSettings(tmp_path / "benchmarks", 400, 1, tmp_path / "photos")


def test_work_is_removed_but_kept_for_its_logs_after_a_failure(settings):
    with fresh_folder(settings) as folder:
        assert folder.is_dir()
    assert not folder.exists()
    with pytest.raises(ValueError, match="broken"), fresh_folder(settings) as folder:
        raise ValueError("broken")
    assert folder.is_dir()


def test_bytes_per_image_leave_out_the_test_split():
    counts = {"train": 80, "validation": 10, "test": 10}
    summary = RunSummary("pushed", 0, data={"images_per_split": counts})
    assert LoupeRun(Cost(1, 1, 1, 1, 0), summary, 900).bytes_per_image == 10


def test_the_report_is_found_among_log_lines(tmp_path):
    output = tmp_path / "output"
    output.write_text('2026 starting\n{"seconds": 1}\n{broken\nbye\n')
    assert last_json_line(output) == {"seconds": 1}
    output.write_text("nothing\n")
    assert last_json_line(output) is None


def test_a_failed_pipeline_is_an_error_with_its_cause(tmp_path):
    words = r"loupe run ended with status 4.*no-such-folder' does not exist.*loupe\.txt"
    with pytest.raises(StageError, match=words):
        run_loupe(tmp_path / "no-such-folder", tmp_path / "workspace")


def test_a_failed_plain_script_is_an_error_with_its_last_words(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("ls"))  # does not know our options
    words = r"plain_keras ended with status 2, so nothing was measured: .*ls.*option.*plain\.txt"
    with pytest.raises(StageError, match=words):
        run_plain(tmp_path, tmp_path / "work")
