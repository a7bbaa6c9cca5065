"""Results for people, as a table, and for programs, as JSON."""

import json
import re
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.figures import Figure, Result, Verdict

_STYLES = {Verdict.REACHED: "green", Verdict.NOT_REACHED: "bold red", Verdict.NO_GOAL: ""}


def write_result(folder: Path, result: Result, machine: dict[str, Any]) -> Path:
    """Keep a result.

    Args:
        folder: where results are kept; made when missing.
        result: what a benchmark came to.
        machine: facts of the machine, as of `benchmarks.machine.machine_facts`.

    Returns:
        The JSON file, named by benchmark and date.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamp = re.sub(r"[^0-9T]", "", str(machine["date"]).partition("+")[0])
    path = folder / f"{result.name}-{stamp}.json"
    content = {
        "benchmark": result.name,
        "machine": machine,
        "figures": [
            {
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "goal_at_most": figure.goal,
                "verdict": figure.verdict.lower() or None,
            }
            for figure in result.figures
        ],
        "details": result.details,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def make_table(results: list[Result]) -> Table:
    """Lay results out.

    Args:
        results: of the benchmarks that ran.

    Returns:
        One row per figure below the benchmark's name; a goal that was not reached stands out.
    """
    table = Table("figure", "measured", "goal", "verdict")
    for result in results:
        table.add_row(result.name, style="bold")
        for figure in result.figures:
            table.add_row(
                f"  {figure.name}",
                format_value(figure.value, figure.unit),
                _format_goal(figure),
                figure.verdict.value,
                style=_STYLES[figure.verdict],
            )
        table.add_section()
    return table


def format_value(value: float, unit: str) -> str:
    """Write a number for people.

    Args:
        value: the number.
        unit: its unit; empty for a ratio.

    Returns:
        Two decimals below 100, else none, and the unit.
    """
    digits = 2 if abs(value) < 100 and value != int(value) else 0
    return f"{value:,.{digits}f} {unit}".strip()


def _format_goal(figure: Figure) -> str:
    return "" if figure.goal is None else f"≤ {format_value(figure.goal, figure.unit)}"
