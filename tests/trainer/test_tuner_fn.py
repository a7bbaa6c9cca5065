import json
import tempfile
from pathlib import Path

import pytest
from keras_tuner.engine.trial import TrialStatus

from configs.errors import StageError
from configs.types import TrainConfig
from trainer.tuner_fn import search_space, tuner_fn


def _search(fn_args):
    result = tuner_fn(fn_args)
    result.tuner.search(**result.fit_kwargs)
    return result.tuner


def test_the_best_values_win_and_the_configured_ones_are_tried_first(make_fn_args):
    settings = {"max_steps": 3, "dropout": 0.25}
    tuner = _search(make_fn_args(train=settings, tune={"max_trials": 2, "epochs": 1}))
    trials = [tuner.oracle.trials[key] for key in sorted(tuner.oracle.trials)]
    assert [trial.status for trial in trials] == [TrialStatus.COMPLETED] * 2
    assert trials[0].hyperparameters.values["dropout"] == 0.25
    assert trials[1].hyperparameters.values != trials[0].hyperparameters.values
    best = tuner.get_best_hyperparameters()[0].get_config()["values"]
    assert best == min(trials, key=lambda trial: trial.score).hyperparameters.values
    assert set(best) == {
        "learning_rate", "width_multiplier", "dropout", "augmentation_strength"
    }  # fmt: skip


def test_a_search_without_a_finished_trial_fails_with_the_trials_own_error(make_fn_args, caplog):
    fn_args = make_fn_args(train={"batch_size": 16, "max_steps": 1})
    fn_args.custom_config["transform"] = json.dumps({"height_pixels": 9, "width_pixels": 9})
    with pytest.raises(StageError, match=r"none of 2 trials finished.*images are 9x9 pixels"):
        _search(fn_args)
    assert "trial 2 failed with ConfigError" in caplog.text


def test_one_failing_trial_is_recorded_and_the_search_goes_on(make_fn_args, monkeypatch):
    import trainer.tuner_fn as module

    fit, calls = module.fit_classifier, []

    def fail_once(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise StageError("trainer: loss is nan")
        return fit(*args, **kwargs)

    monkeypatch.setattr(module, "fit_classifier", fail_once)
    tuner = _search(make_fn_args(train={"max_steps": 1}))
    trials = [tuner.oracle.trials[key] for key in sorted(tuner.oracle.trials)]
    assert [trial.status for trial in trials] == [TrialStatus.FAILED, TrialStatus.COMPLETED]
    assert "StageError: trainer: loss is nan" in trials[0].message


def test_the_space_surrounds_the_configured_values():
    config = TrainConfig(dropout=0.9, augmentation_strength=0.0, width_multiplier=1.0)
    space = {one.name: one for one in search_space(config).space}
    assert (space["dropout"].min_value, space["dropout"].max_value) == (0.75, 0.9)
    strength = space["augmentation_strength"]
    assert (strength.min_value, strength.max_value) == (0.0, 0.15)
    assert space["learning_rate"].sampling == "log"


def test_an_incomplete_custom_config_is_refused(make_fn_args):
    fn_args = make_fn_args()
    del fn_args.custom_config["tune"]
    with pytest.raises(StageError, match=r"tuner: custom_config lacks tune, got .*build_tuner"):
        tuner_fn(fn_args)


def test_a_search_for_a_bucket_keeps_its_trials_on_this_machine(make_fn_args):
    fn_args = make_fn_args(train={"max_steps": 1}, tune={"max_trials": 1, "epochs": 1})
    fn_args.working_dir = "gs://nowhere/temporary"
    folder = Path(_search(fn_args).project_dir)
    assert folder.is_dir()
    assert Path(tempfile.gettempdir()) in folder.parents
