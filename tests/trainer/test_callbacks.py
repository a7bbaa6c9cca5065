import json
import logging
import math

import pytest

from configs.errors import StageError
from configs.types import TrainConfig
from trainer.callbacks import HistoryFile, ProgressReport, StepLimit, make_callbacks


class _Model:
    stop_training = False


def test_the_step_limit_stops_training_at_its_step():
    limit = StepLimit(3)
    limit.set_model(model := _Model())
    stopped = []
    for step in range(3):
        limit.on_train_batch_end(step)
        stopped.append(model.stop_training)
    assert stopped == [False, False, True]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["loss", "val_loss"])
def test_a_loss_that_is_no_number_is_an_error(name, value):
    report = ProgressReport(10, 5)
    with pytest.raises(StageError, match=rf"{name} is (nan|inf) after step 0, expected a finite"):
        report.on_epoch_end(0, {name: value})


def test_progress_says_steps_epoch_and_accuracy(caplog):
    report = ProgressReport(10, 5)
    with caplog.at_level(logging.INFO, "loupe.trainer"):
        for step in range(5):
            report.on_train_batch_end(step, {"loss": 1.0, "accuracy": 0.25})
        report.on_epoch_end(0, {"loss": 1.0, "accuracy": 0.25, "val_accuracy": 0.5})
    first, last = caplog.records[0], caplog.records[-1]
    assert first.getMessage() == "step 1 of 10, epoch 1, accuracy 0.250"
    assert last.getMessage() == "step 5 of 10, epoch 1, accuracy 0.500"
    assert last.progress["done"], last.progress["unit"] == (5, "steps")
    assert last.progress["val_accuracy"] == 0.5


def test_progress_is_reported_at_most_once_a_second(caplog, monkeypatch):
    now = iter([100.0, 100.4, 100.9, 101.1])
    monkeypatch.setattr("trainer.callbacks.time.monotonic", lambda: next(now))
    report = ProgressReport(10, 5)
    with caplog.at_level(logging.INFO, "loupe.trainer"):
        for step in range(4):
            report.on_train_batch_end(step, {"loss": 1.0})
    assert [record.progress["done"] for record in caplog.records] == [1, 4]


def test_history_is_complete_after_every_epoch(tmp_path):
    history = HistoryFile(tmp_path / "history.json")
    for epoch in range(2):
        history.on_epoch_end(epoch, {"loss": 1.0 / (epoch + 1)})
    epochs = json.loads(history.path.read_text())["epochs"]
    assert [(one["epoch"], one["loss"]) for one in epochs] == [(0, 1.0), (1, 0.5)]


def test_the_run_folder_is_made(tmp_path):
    folder = tmp_path / "a" / "run"
    make_callbacks(TrainConfig(), run_folder=folder, total_steps=1, steps_per_epoch=1)
    assert folder.is_dir()
