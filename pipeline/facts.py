"""What the stages of a run left in their artifacts, as fields of its summary."""

import json
from dataclasses import asdict
from typing import Any

from components.evaluator.report import read_report as read_evaluation
from components.example_gen.report import read_quarantine, read_report
from components.example_validator import ANOMALIES_FILENAME
from components.infra_validator.report import REASON_PROPERTY, REPORT_FILENAME
from pipeline.outcome import StageOutcome


def facts_of(outcome: dict[str, StageOutcome]) -> dict[str, Any]:
    """Collect what the stages left in their artifacts.

    Args:
        outcome: the newest run.

    Returns:
        Fields of RunSummary, as far as the run got.
    """
    facts: dict[str, Any] = {}
    outputs = {
        (node, key): artifact
        for node, stage in outcome.items()
        if stage.is_complete
        for key, artifact in stage.outputs.items()
    }
    if examples := outputs.get(("ExampleGen", "examples")):
        facts["data"] = asdict(read_report(examples.uri))
        facts["quarantined"] = [asdict(file) for file in read_quarantine(examples.uri)]
    if anomalies := outputs.get(("ExampleValidator", "anomalies")):
        facts["anomalies"] = json.loads((anomalies.uri / ANOMALIES_FILENAME).read_text())
    if evaluation := outputs.get(("Evaluator", "evaluation")):
        report = read_evaluation(evaluation.uri)
        facts["metrics"] = report.metrics
        facts["baseline_metrics"] = report.baseline_metrics
        facts["per_class"] = [{"class": name, **row} for name, row in report.per_class.items()]
        facts["slices"] = [{"slice": name, **row} for name, row in report.slices.items()]
        facts["reasons"] = list(report.reasons)
    if infra := outputs.get(("InfraValidator", "blessing")):
        if reason := infra.properties.get(REASON_PROPERTY):
            facts["reasons"] = [*facts.get("reasons", []), reason]
        elif (infra.uri / REPORT_FILENAME).exists():
            facts["infra"] = json.loads((infra.uri / REPORT_FILENAME).read_text())
    pushed = outputs.get(("Pusher", "pushed_model"))
    if pushed and pushed.properties.get("pushed"):
        facts["version"] = int(pushed.properties["pushed_version"])
        facts["model_dir"] = pushed.properties["pushed_destination"]
    return facts
