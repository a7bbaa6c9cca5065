"""The Tuner stage: `tuner_fn` is what TFX calls.

KerasTuner runs the search; every trial is the training run of the Trainer, only shorter.
"""

import atexit
import dataclasses
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from keras_tuner import HyperParameters, Objective
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import RandomSearchOracle
from tfx.components.tuner.component import TunerFnResult

from configs.buckets import is_in_bucket
from configs.errors import StageError
from configs.load import from_json
from configs.types import TrainConfig, TuneConfig
from trainer.callbacks import VALIDATION_LOSS
from trainer.fitting import fit_classifier
from trainer.run_fn import TrainingInputs, read_inputs

TUNE_KEY: Final = "tune"

# How far from the configured values to look. Short trials always favour little regularisation, so
# dropout and augmentation may only move a little.
_LEARNING_RATE_FACTOR: Final = 3.0
_WIDTH_FACTORS: Final = (0.75, 1.25)
_DROPOUT_STEP: Final = 0.15
_AUGMENTATION_STEP: Final = 0.15
_MAX_DROPOUT: Final = 0.9

logger = logging.getLogger("loupe.tuner")


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """Prepare the search for hyperparameters.

    Args:
        fn_args: TFX's FnArgs as of `trainer.run_fn.run_fn`, with the JSON of TuneConfig under
            `tune` in `custom_config`, and `working_dir` for the trials' files.

    Returns:
        The tuner; its `search()` raises StageError when no trial finishes.

    Raises:
        StageError: `custom_config` is incomplete, or a split is empty.
        DataError: the schema cannot be read or lists fewer than two classes.
    """
    inputs = read_inputs(fn_args)
    if TUNE_KEY not in fn_args.custom_config:
        raise StageError(
            f"tuner: custom_config lacks {TUNE_KEY}, got {sorted(fn_args.custom_config)}. "
            "Build the stage with components.tuner.build_tuner, which fills it."
        )
    config = from_json(TuneConfig, fn_args.custom_config[TUNE_KEY])
    folder = fn_args.working_dir
    if is_in_bucket(folder):  # KerasTuner reads trials back as files, and nobody keeps them
        folder = tempfile.mkdtemp(prefix="loupe-tuner-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tuner = ClassifierTuner(inputs, config, folder=Path(folder))
    return TunerFnResult(tuner=tuner, fit_kwargs={})


class ConfiguredFirstOracle(RandomSearchOracle):
    """Random search whose first trial has the configured values: a search never does worse.

    Attributes:
        configured: value of each hyperparameter in the first trial.
    """

    def __init__(self, configured: Mapping[str, float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.configured = dict(configured)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose the values of a trial.

        Args:
            trial_id: the trial.

        Returns:
            KerasTuner's `status` and `values`.
        """
        # The new trial is already among the trials when KerasTuner asks for its values.
        if not set(self.trials) - {trial_id}:
            return {"status": TrialStatus.RUNNING, "values": dict(self.configured)}
        return super().populate_space(trial_id)


class ClassifierTuner(BaseTuner):
    """Trains one classifier per trial, and does not let all of them fail in silence.

    Attributes:
        inputs: data and the configured training loop.
        config: trials, epochs and seed of the search.
    """

    def __init__(self, inputs: TrainingInputs, config: TuneConfig, *, folder: Path) -> None:
        self.inputs = inputs
        self.config = config
        self._folder = folder
        self._errors: list[Exception] = []
        space = search_space(inputs.config)
        oracle = ConfiguredFirstOracle(
            {name: getattr(inputs.config, name) for name in space.values},
            objective=Objective(VALIDATION_LOSS, direction="min"),
            max_trials=config.max_trials,
            seed=config.seed,
            hyperparameters=space,
            # Whether enough trials finished is decided at the end of the search, not before.
            max_consecutive_failed_trials=config.max_trials + 1,
        )
        super().__init__(oracle, directory=str(folder), project_name="search", overwrite=True)

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Run the trials.

        Args:
            fit_args: passed on to `run_trial`, which needs none.
            fit_kwargs: likewise.

        Raises:
            StageError: no trial finished; the cause is the last trial's own error.
        """
        super().search(*fit_args, **{"verbose": 0, **fit_kwargs})
        trials = self.oracle.trials.values()
        if any(trial.status == TrialStatus.COMPLETED for trial in trials):
            return
        cause = self._errors[-1] if self._errors else None
        raise StageError(
            f"tuner: none of {len(trials)} trials finished. The last one failed with "
            f"{type(cause).__name__}: {cause} Mend that, or set tune.enabled=false."
        ) from cause

    def run_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        """Train one classifier.

        Args:
            trial: its hyperparameters and id.
            fit_args: ignored.
            fit_kwargs: ignored.

        Returns:
            The lowest validation loss.
        """
        del fit_args, fit_kwargs
        values = dict(trial.hyperparameters.values)
        config = dataclasses.replace(
            self.inputs.config,
            epochs=self.config.epochs,
            patience_epochs=self.config.epochs,
            **values,
        )
        number = len(self.oracle.trials)
        logger.info("trial %d of %d: %s", number, self.config.max_trials, values)
        try:
            fitted = fit_classifier(
                config,
                self.inputs.train,
                self.inputs.validation,
                run_folder=self._folder / f"trial-{trial.trial_id}",
            )
        except Exception as error:
            # KerasTuner keeps the traceback of a failed trial to itself; tell, and remember.
            logger.warning("trial %d failed with %s: %s", number, type(error).__name__, error)
            self._errors.append(error)
            raise
        return {VALIDATION_LOSS: min(fitted.history[VALIDATION_LOSS])}


def search_space(config: TrainConfig) -> HyperParameters:
    """Describe where to look for better values.

    Args:
        config: the configured values, which the search moves around.

    Returns:
        KerasTuner's space of `learning_rate`, `width_multiplier`, `dropout` and
        `augmentation_strength`, each within the range that TrainConfig accepts.
    """
    space = HyperParameters()
    space.Float(
        "learning_rate",
        config.learning_rate / _LEARNING_RATE_FACTOR,
        min(config.learning_rate * _LEARNING_RATE_FACTOR, 10.0),
        sampling="log",
        default=config.learning_rate,
    )
    low, high = (config.width_multiplier * factor for factor in _WIDTH_FACTORS)
    space.Float(
        "width_multiplier", max(low, 0.05), min(high, 16.0), default=config.width_multiplier
    )
    _add_share(space, "dropout", config.dropout, _DROPOUT_STEP, most=_MAX_DROPOUT)
    _add_share(
        space, "augmentation_strength", config.augmentation_strength, _AUGMENTATION_STEP, most=1.0
    )
    return space


def _add_share(
    space: HyperParameters, name: str, value: float, reach: float, *, most: float
) -> None:
    space.Float(name, max(value - reach, 0.0), min(value + reach, most), default=value)
