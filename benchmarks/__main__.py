"""Runs benchmarks: `python -m benchmarks [name ...]`; `--list` says which there are."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.figures import Result
from benchmarks.gateway import gateway
from benchmarks.image_ops import image_ops
from benchmarks.images_60k import NUM_IMAGES
from benchmarks.kubeflow_overhead import kubeflow_overhead
from benchmarks.kubeflow_start import kubeflow_start
from benchmarks.machine import machine_facts
from benchmarks.pipeline_overhead import cached_rerun, clothing_overhead, pipeline_overhead
from benchmarks.results import make_table, write_result
from benchmarks.runs import BenchmarkSettings
from benchmarks.serving import serving
from configs.errors import ConfigError, PipelineError
from configs.load import REPOSITORY_ROOT, workspace_from_environment

BENCHMARKS: dict[str, Callable[[BenchmarkSettings], Result]] = {
    "image_ops": image_ops,
    "cached_rerun": cached_rerun,
    "clothing_overhead": clothing_overhead,
    "pipeline_overhead": pipeline_overhead,
    "serving": serving,
    "gateway": gateway,
    "kubeflow_start": kubeflow_start,
    "kubeflow_overhead": kubeflow_overhead,
}
RESULTS = REPOSITORY_ROOT / "benchmarks" / "results"
EXIT_NOT_REACHED = 1

Names = Annotated[list[str] | None, typer.Argument(help="Benchmarks to run; none: all of them.")]
Listed = Annotated[bool, typer.Option("--list", help="List the benchmarks and run none.")]
Images = Annotated[int, typer.Option(min=400, help="Small JPEGs of pipeline_overhead.")]
Repeats = Annotated[int, typer.Option(min=1, help="How often ours and the peer alternate.")]
Folder = Annotated[Path | None, typer.Option("--workspace", "-w", help="Where the images go.")]
SharedData = Annotated[Path, typer.Option(help="Folder that holds the clothing photos.")]


def benchmarks(
    names: Names = None,
    is_list: Listed = False,
    images: Images = NUM_IMAGES,
    repeats: Repeats = 1,
    workspace: Folder = None,
    shared_data: SharedData = REPOSITORY_ROOT.parent / "shared" / "data",
) -> None:
    """Measure Loupe's speed. Exit codes: 0 every goal reached, 1 one was not, else an error."""
    console = Console()
    if is_list:
        for name, benchmark in BENCHMARKS.items():
            console.print(f"{name}: {(benchmark.__doc__ or '').splitlines()[0]}")
        return
    root = workspace.resolve() if workspace else workspace_from_environment().root
    settings = BenchmarkSettings(root / "benchmarks", images, repeats, shared_data)
    results = [_run(console, name, settings) for name in choose(names or [])]
    console.print(make_table(results))
    sys.exit(EXIT_NOT_REACHED if any(result.missed for result in results) else 0)


def choose(names: list[str]) -> list[str]:
    """Check the names of benchmarks.

    Args:
        names: what was asked for.

    Returns:
        The same names; all of them when none was asked for.

    Raises:
        ConfigError: a name that is none of ours.
    """
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise ConfigError(
            f"no benchmark is called {', '.join(unknown)}, expected some of: "
            f"{', '.join(BENCHMARKS)}."
        )
    return names or list(BENCHMARKS)


def _run(console: Console, name: str, settings: BenchmarkSettings) -> Result:
    machine = machine_facts()
    console.print(
        f"{name} on {machine['cores']} cores of {machine['cpu']}, load {machine['load_average']}"
    )
    result = BENCHMARKS[name](settings)
    console.print(f"kept in {write_result(RESULTS, result, machine)}")
    return result


def main() -> None:
    """Run the command line; errors of ours become one sentence and their exit code."""
    try:
        typer.run(benchmarks)
    except PipelineError as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
