"""What the trial serving measured."""

import json
from dataclasses import asdict, dataclass

from data.places import Place

REPORT_FILENAME = "infra.json"
REASON_PROPERTY = "reason"
"""Custom property of the InfraBlessing artifact that says why it was refused."""


@dataclass(frozen=True)
class InfraReport:
    """One trial serving.

    Attributes:
        server: command that was run.
        load_seconds: from the start of the process to AVAILABLE.
        memory_bytes: resident memory of the server after answering.
        grpc_latency_seconds: median time of one request over gRPC.
        rest_latency_seconds: median time of one request over REST.
        num_requests: requests sent, both protocols together.
        largest_difference: largest difference of a probability from the SavedModel's own answer.
    """

    server: str
    load_seconds: float
    memory_bytes: int
    grpc_latency_seconds: float
    rest_latency_seconds: float
    num_requests: int
    largest_difference: float


def write_report(folder: Place, report: InfraReport) -> None:
    """Write the report into the blessing.

    Args:
        folder: root of the InfraBlessing artifact.
        report: what was measured.
    """
    (folder / REPORT_FILENAME).write_text(json.dumps(asdict(report), indent=1))
