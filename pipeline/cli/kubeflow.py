"""`loupe kubeflow`: the pipeline on Kubeflow Pipelines."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from configs.load import load_config
from pipeline.cli.kubeflow_runs import add_commands

kubeflow_app = typer.Typer(help="The pipeline on Kubeflow Pipelines.", no_args_is_help=True)

KUBEFLOW_CONFIG = "kubeflow"

KubeflowConfigOption = Annotated[
    str, typer.Option("--config", "-c", help="A file of configs/, or the path of a YAML file.")
]
KubeflowSetOption = Annotated[
    list[str], typer.Option("--set", "-s", help="A setting, such as train.epochs=3; repeatable.")
]


@kubeflow_app.command("compile")
def compile_command(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="YAML file to write; none: <name>.yaml.")
    ] = None,
    config: KubeflowConfigOption = KUBEFLOW_CONFIG,
    set_: KubeflowSetOption = [],  # noqa: B006 (typer copies it)
) -> None:
    """Write the pipeline as a file for Kubeflow Pipelines; needs neither data nor a cluster."""
    settings = load_config(config, set_)
    from pipeline.kubeflow.compile import compile_pipeline, write_compiled

    path = output or Path(f"{settings.pipeline_name}.yaml")
    compiled = compile_pipeline(settings)
    write_compiled(compiled, path)
    tasks = compiled.spec["root"]["dag"]["tasks"]
    Console().print(f"[bold]{path}[/] holds {len(tasks)} stages. Next: loupe kubeflow upload")


add_commands(kubeflow_app)
