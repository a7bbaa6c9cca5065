"""The `loupe` command: thin wrappers that say what went wrong in one sentence."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from configs.errors import PipelineError
from configs.load import DEFAULT_CONFIG, load_config, workspace_from_environment
from configs.workspace import Workspace
from pipeline.cli.kubeflow import kubeflow_app
from serving.gateway.cli import keys_app
from serving.gateway.database_cli import database_app
from serving.gateway.review_cli import review_app

app = typer.Typer(
    help="From a folder of labelled images to a served classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Sample data.", no_args_is_help=True)
schema_app = typer.Typer(help="The curated schema.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(schema_app, name="schema")
app.add_typer(kubeflow_app, name="kubeflow")
app.add_typer(keys_app, name="keys")
app.add_typer(review_app, name="review")
app.add_typer(database_app, name="database")

ConfigOption = Annotated[
    str, typer.Option("--config", "-c", help="A file of configs/, or the path of a YAML file.")
]
SetOption = Annotated[
    list[str], typer.Option("--set", "-s", help="A setting, such as train.epochs=3; repeatable.")
]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="Folder that everything is written below."),
]
DataOption = Annotated[
    str, typer.Option("--data", "-d", help="Folder, manifest or archive of images, or gs:// URL.")
]


@app.command()
def run(
    data: DataOption = "",
    workspace: WorkspaceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = [],  # noqa: B006 (typer copies it)
) -> None:
    """Run the pipeline. Exit codes: 0 pushed, 3 trained but not blessed, else an error."""
    from pipeline.cli.run import run_pipeline

    sys.exit(run_pipeline(Console(), _workspace(workspace), config, data, set_))


@app.command()
def inspect(
    path: Annotated[
        str,
        typer.Argument(help="An image, a data folder or a pushed version; none: the last run."),
    ] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Show the last run, a pushed version, a data folder or an image."""
    from data.places import place_of
    from pipeline.cli.inspect import inspect_path, inspect_run

    if path:
        inspect_path(Console(), place_of(path))
    else:
        inspect_run(Console(), _workspace(workspace))


@app.command()
def serve(
    workspace: WorkspaceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = [],  # noqa: B006
    port: Annotated[int, typer.Option(help="Of the prediction API and its console.")] = 8080,
    rest_port: Annotated[int, typer.Option(help="Of the model server's REST.")] = 8501,
    grpc_port: Annotated[int, typer.Option(help="Of the model server's gRPC.")] = 8500,
) -> None:
    """Serve the last pushed model with the prediction API and its console, for development."""
    from pipeline.cli.serve import Ports, serve_last_model

    model_name = load_config(config, set_).model_name
    ports = Ports(gateway=port, rest=rest_port, grpc=grpc_port)
    sys.exit(serve_last_model(Console(), _workspace(workspace), model_name, ports))


@app.command()
def doctor(workspace: WorkspaceOption = None) -> None:
    """Check this machine, and say what to do about what is wrong."""
    from pipeline.cli.doctor import run_doctor

    sys.exit(0 if run_doctor(Console(), _workspace(workspace).root) else 1)


@data_app.command("sample")
def data_sample(
    folder: Annotated[Path, typer.Argument(help="Folder to draw into.")],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = [],  # noqa: B006
) -> None:
    """Draw the built-in sample data; settings under `sample` make it misbehave on purpose."""
    from data.synthetic import draw_sample_data
    from pipeline.cli.progress import show_progress

    console = Console()
    with show_progress(console, "drawing sample images") as report:
        path = draw_sample_data(folder, load_config(config, set_).sample, progress=report)
    console.print(
        f"Sample data is in [bold]{path}[/]. Next: make run DATA={shlex.quote(str(path))}"
    )


@schema_app.command("freeze")
def schema_freeze(
    data: DataOption = "",
    workspace: WorkspaceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = [],  # noqa: B006
) -> None:
    """Keep the last run's schema as the curated one, which rules from then on."""
    from pipeline.schema_freeze import freeze_schema

    settings = load_config(config, [f"data.path={data}", *set_] if data else set_)
    path = freeze_schema(settings, _workspace(workspace))
    Console().print(f"[bold]{path}[/] rules from now on. Edit it, and keep it in git.")


def main() -> None:
    """Run the command line; errors of ours become one sentence and their exit code."""
    try:
        app()
    except PipelineError as error:
        Console(stderr=True).print(f"[bold red]{type(error).__name__}:[/] ", end="")
        Console(stderr=True).print(str(error), markup=False, highlight=False)
        sys.exit(error.exit_code)


def _workspace(folder: Path | None) -> Workspace:
    return Workspace.at(folder) if folder else workspace_from_environment()
