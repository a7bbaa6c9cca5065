import json

REPORT = {
    "window_start": "2026-11-20T00:00:00Z",
    "window_end": "2026-11-21T00:00:00Z",
    "reference": "<b>span-3</b>",
    "reference_samples": 12000,
    "live_samples": 8341,
    "verdict": "drift",
    "features": [
        {"name": "<i>x</i>", "statistic": "psi", "value": -1, "threshold": 0, "verdict": "ok"},
        {"name": "label", "statistic": "psi", "value": 9e99, "threshold": 0.2, "verdict": "drift"},
    ],
}


def test_no_report_is_said(console, drift_report_file):
    assert not drift_report_file.exists()
    assert "No drift report yet" in console.client("reader").get("/console/drift").text


def test_a_report_is_shown_as_text(console, drift_report_file):
    drift_report_file.write_text(json.dumps(REPORT))
    page = console.client("reader").get("/console/drift").text
    assert '<p class="verdict-word">Drift</p>' in page
    assert "&lt;b&gt;span-3&lt;/b&gt;" in page
    assert "<i>" not in page
    assert 'width="100.0"' in page
    assert 'width="0.0"' in page


def test_a_broken_report_is_no_broken_page(console, drift_report_file):
    drift_report_file.write_text("{")
    page = console.client("reader").get("/console/drift")
    assert page.status_code == 200
    assert "Invalid JSON" in page.text
