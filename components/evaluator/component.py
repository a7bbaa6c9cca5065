"""The Evaluator node: what is measured, on what, and which bars must be cleared."""

from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx.components import Evaluator
from tfx.dsl.components.base import executor_spec
from tfx.types import BaseChannel

from components.beam_args import worker_imports
from components.code_version import code_version
from components.evaluator.executor import Executor
from components.evaluator.extractors import BUCKETS
from components.evaluator.metrics import ClassificationReport
from components.evaluator.names import (
    ACCURACY,
    BALANCED_GAIN,
    BASELINE,
    CANDIDATE,
    GAIN_OVER_MAJORITY,
)
from configs.types import EvaluationConfig
from schema.features import LABEL, Signature, Split

ROUNDING = 1e-9
"""An equal model is not worse: float64 sums may differ in the last bits."""


class ImageEvaluator(Evaluator):
    """Evaluator with an executor that knows the labels of both models."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)


def build_evaluator(
    config: EvaluationConfig, *, examples: BaseChannel, model: BaseChannel, baseline: BaseChannel
) -> ImageEvaluator:
    """Build the stage that decides whether a model is good enough.

    Args:
        config: the bars.
        examples: raw examples; the test split is used.
        model: the candidate.
        baseline: the last blessed model, if any.

    Returns:
        The Evaluator node; outputs `evaluation` and `blessing`.
    """
    evaluator = ImageEvaluator(
        examples=examples,
        model=model,
        baseline_model=baseline,
        example_splits=[Split.TEST],
        eval_config=eval_config(config),
    ).with_id("Evaluator")
    evaluator.with_beam_pipeline_args(
        worker_imports("components.evaluator.extractors", "components.evaluator.metrics")
    )
    return evaluator


def eval_config(config: EvaluationConfig) -> tfma.EvalConfig:
    """Say what TFMA measures.

    Args:
        config: the bars.

    Returns:
        The config, but for the labels of the models, which the executor adds.
    """
    value_bars = {
        ACCURACY: config.min_accuracy,
        GAIN_OVER_MAJORITY: config.min_gain_over_majority,
        BALANCED_GAIN: config.min_balanced_gain,
    }
    thresholds = {
        name: tfma.MetricThreshold(
            value_threshold=tfma.GenericValueThreshold(lower_bound={"value": bound - ROUNDING})
        )
        for name, bound in value_bars.items()
    }
    thresholds[ACCURACY].change_threshold.CopyFrom(
        tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER,
            absolute={"value": config.min_change - ROUNDING},
        )
    )
    return tfma.EvalConfig(
        model_specs=[_model_spec(CANDIDATE), _model_spec(BASELINE, is_baseline=True)],
        slicing_specs=[
            tfma.SlicingSpec(),
            tfma.SlicingSpec(feature_keys=[LABEL]),
            *(tfma.SlicingSpec(feature_keys=[name]) for name in BUCKETS),
        ],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    tfma.MetricConfig(
                        class_name=ClassificationReport.__name__,
                        module=ClassificationReport.__module__,
                        config=f'{{"code_version": "{code_version(["components/evaluator"])}"}}',
                    )
                ],
                per_slice_thresholds={
                    name: _on_everything(threshold) for name, threshold in thresholds.items()
                },
            )
        ],
    )


def _on_everything(threshold: tfma.MetricThreshold) -> config_pb2.PerSliceMetricThresholds:
    # A plain threshold would hold every slice to the bar, however few images it has.
    return config_pb2.PerSliceMetricThresholds(
        thresholds=[
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[tfma.SlicingSpec()], threshold=threshold
            )
        ]
    )


def _model_spec(name: str, **fields: Any) -> tfma.ModelSpec:
    return tfma.ModelSpec(
        name=name, label_key=LABEL, signature_name=Signature.SERVE_EXAMPLES, **fields
    )
