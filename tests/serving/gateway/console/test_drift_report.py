import json

import pytest

from configs.errors import DataError
from serving.gateway.console.drift_report import read_drift_report

REPORT = {
    "window_start": "2026-11-20T00:00:00Z",
    "window_end": "2026-11-21T00:00:00Z",
    "reference_samples": 12000,
    "live_samples": 8341,
    "verdict": "drift",
    "features": [
        {
            "name": "image/brightness",
            "statistic": "psi",
            "value": 0.31,
            "threshold": 0.2,
            "verdict": "drift",
        }
    ],
    "made_by": "a monitor that says more than we read",
}


def test_a_report_is_read(tmp_path):
    file = tmp_path / "drift.json"
    file.write_text(json.dumps(REPORT))
    report = read_drift_report(file)
    assert report.verdict == "drift"
    assert report.features[0].value == 0.31


def test_no_file_is_no_report(tmp_path):
    assert read_drift_report(tmp_path / "drift.json") is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "the file: Invalid JSON"),
        ("[]", "the file: Input should be an object"),
        (json.dumps(REPORT | {"verdict": "perhaps"}), "verdict: Input should be 'ok'"),
        (json.dumps(REPORT).replace("0.31", "NaN"), "features.0.value"),
        (json.dumps(REPORT | {"live_samples": -1}), "live_samples"),
        (" " * 5_000_000, "has 5000000 bytes, expected at most"),
    ],
)
def test_anything_else_is_refused_with_its_reason(tmp_path, content, problem):
    file = tmp_path / "drift.json"
    file.write_text(content)
    with pytest.raises(DataError) as error:
        read_drift_report(file)
    assert problem in str(error.value)


def test_a_folder_is_no_report(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_drift_report(tmp_path)
