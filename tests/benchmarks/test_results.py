import io
import json

import pytest
from rich.console import Console

from benchmarks.figures import Figure, Result
from benchmarks.machine import machine_facts
from benchmarks.results import format_value, make_table, write_result

RESULT = Result(
    "some_overhead",
    [Figure("seconds", 2.5, "s", 2.0), Figure("memory", 1500.0, "MiB", 3072), Figure("speed", 9.0)],
    {"runs": [1, 2]},
)


def print_table(results):
    file = io.StringIO()
    Console(file=file, width=120).print(make_table(results))
    return file.getvalue()


def test_a_missed_goal_is_printed_as_not_reached():
    lines = {row.split("│")[1].strip(): row for row in print_table([RESULT]).splitlines()[3:7]}
    assert list(lines) == ["some_overhead", "seconds", "memory", "speed"]
    assert "NOT REACHED" in lines["seconds"]
    assert "≤ 2 s" in lines["seconds"]
    assert "NOT" not in lines["memory"]
    assert "reached" in lines["memory"]
    assert "eached" not in lines["speed"]


def test_a_result_is_kept_with_the_machine(tmp_path):
    machine = machine_facts()
    kept = json.loads(write_result(tmp_path / "results", RESULT, machine).read_text())
    assert kept["benchmark"] == "some_overhead"
    assert kept["details"] == {"runs": [1, 2]}
    assert [figure["verdict"] for figure in kept["figures"]] == ["not reached", "reached", None]
    assert kept["machine"] == machine


def test_machine_facts_say_what_a_second_depends_on():
    facts = machine_facts()
    assert facts["cores"] >= 1
    assert facts["memory_gib"] > 0
    assert facts["cpu"]
    assert facts["versions"]["tensorflow"].startswith("2.21")
    assert facts["date"].endswith("+00:00")
    assert facts["commit"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.234, "", "1.23"), (2.0, "s", "2 s"), (3072, "MiB", "3,072 MiB"), (123.4, "s", "123 s")],
)
def test_values_are_short(value, unit, text):
    assert format_value(value, unit) == text
