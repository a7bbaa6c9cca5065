"""What the Evaluator found, as one JSON file for people and programs."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from components.evaluator.names import (
    ACCURACY,
    BALANCED_GAIN,
    BASELINE,
    CANDIDATE,
    GAIN_OVER_MAJORITY,
    PRECISION_PREFIX,
    RECALL_PREFIX,
    SUMMARY_METRICS,
)
from data.places import Place

REPORT_FILENAME = "evaluation.json"


@dataclass(frozen=True)
class EvaluationReport:
    """The outcome of one evaluation.

    Attributes:
        is_blessed: whether every bar was cleared.
        reasons: why not, in words; empty when blessed.
        metrics: the candidate's summary metrics on the test split.
        baseline_metrics: the last blessed model's on the same images; empty when there is none.
        per_class: precision and recall by class name.
        slices: summary metrics by slice, such as `brightness:dark`.
    """

    is_blessed: bool
    reasons: list[str]
    metrics: dict[str, float | None]
    baseline_metrics: dict[str, float | None]
    per_class: dict[str, dict[str, float | None]]
    slices: dict[str, dict[str, float | None]]


def build_report(output_path: str, *, is_blessed: bool, has_baseline: bool) -> EvaluationReport:
    """Read what TFMA wrote.

    Args:
        output_path: folder of TFMA's results.
        is_blessed: TFMA's verdict.
        has_baseline: whether a last blessed model was evaluated beside the candidate.

    Returns:
        The report.
    """
    import tensorflow_model_analysis as tfma  # slow; those who only read reports do not need it

    candidate_name = CANDIDATE if has_baseline else None  # TFMA drops the name of a lone model
    by_slice = _metrics_by_slice(tfma.load_eval_result(output_path, model_name=candidate_name))
    overall = by_slice.pop("")
    baseline: dict[str, float | None] = {}
    if has_baseline:
        baseline = _metrics_by_slice(tfma.load_eval_result(output_path, model_name=BASELINE))[""]
    validation: Any = tfma.load_validation_result(output_path)
    failures = [f for part in validation.metric_validations_per_slice for f in part.failures]
    return EvaluationReport(
        is_blessed=is_blessed,
        reasons=list(dict.fromkeys(_reason(f, overall, baseline) for f in failures)),
        metrics=_summary(overall),
        baseline_metrics=_summary(baseline),
        per_class=_per_class(overall),
        slices={name: _summary(values) for name, values in sorted(by_slice.items())},
    )


def write_report(folder: Place, report: EvaluationReport) -> None:
    """Write the report beside TFMA's results.

    Args:
        folder: root of the ModelEvaluation artifact.
        report: what was found.
    """
    (folder / REPORT_FILENAME).write_text(json.dumps(asdict(report), indent=1))


def read_report(folder: Place) -> EvaluationReport:
    """Read the report of an evaluation.

    Args:
        folder: root of the ModelEvaluation artifact.

    Returns:
        The report.
    """
    return EvaluationReport(**json.loads((folder / REPORT_FILENAME).read_text()))


def _metrics_by_slice(result: Any) -> dict[str, dict[str, float | None]]:
    by_slice: dict[str, dict[str, float | None]] = {}
    for slice_key, outputs in result.slicing_metrics:
        name = ",".join(f"{feature}:{_text(value)}" for feature, value in slice_key)
        values = outputs[""][""]
        by_slice[name] = {
            metric: _finite(value["doubleValue"])
            for metric, value in values.items()
            if "doubleValue" in value
        }
    return by_slice


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _summary(values: dict[str, float | None]) -> dict[str, float | None]:
    return {name: values[name] for name in SUMMARY_METRICS if name in values}


def _per_class(values: dict[str, float | None]) -> dict[str, dict[str, float | None]]:
    names = [name.removeprefix(RECALL_PREFIX) for name in values if name.startswith(RECALL_PREFIX)]
    return {
        name: {
            "precision": values.get(PRECISION_PREFIX + name),
            "recall": values[RECALL_PREFIX + name],
        }
        for name in sorted(names)
    }


def _reason(failure: Any, overall: dict[str, Any], baseline: dict[str, Any]) -> str:
    name: str = failure.metric_key.name
    accuracy = overall[ACCURACY]
    if failure.metric_threshold.HasField("change_threshold"):
        needed = baseline[ACCURACY] + failure.metric_threshold.change_threshold.absolute.value
        return (
            f"accuracy {accuracy:.4f} against {baseline[ACCURACY]:.4f} of the last blessed model, "
            f"needed at least {needed:.4f} (evaluation.min_change)"
        )
    bound = failure.metric_threshold.value_threshold.lower_bound.value
    if name == GAIN_OVER_MAJORITY:
        share = overall["majority_share"]
        return (
            f"accuracy {accuracy:.4f} is not enough above the majority class, which alone gives "
            f"{share:.4f}; needed at least {share + bound:.4f} (evaluation.min_gain_over_majority)"
        )
    if name == BALANCED_GAIN:
        chance = overall["balanced_accuracy"] - overall[BALANCED_GAIN]
        return (
            f"balanced accuracy {overall['balanced_accuracy']:.4f} is close to guessing "
            f"({chance:.4f}); needed at least {chance + bound:.4f} (evaluation.min_balanced_gain)"
        )
    return f"{name} {overall[name]:.4f}, needed at least {bound:.4f} (evaluation.min_{name})"
