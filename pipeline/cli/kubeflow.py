"""`loupe kubeflow`: the pipeline on Kubeflow Pipelines."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from configs.load import load_config, workspace_from_environment
from configs.workspace import Workspace
from pipeline.cli.kubeflow_runs import add_commands
from pipeline.cli.native_logs import native_logs_kept

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
        Path | None,
        typer.Option("--output", "-o", help="YAML file; none: <workspace>/kubeflow/<name>.yaml."),
    ] = None,
    config: KubeflowConfigOption = KUBEFLOW_CONFIG,
    set_: KubeflowSetOption = [],  # noqa: B006 (typer copies it)
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Folder that it is written below.")
    ] = None,
) -> None:
    """Write the pipeline as a file for Kubeflow Pipelines; needs neither data nor a cluster."""
    settings = load_config(config, set_)
    space = Workspace.at(workspace) if workspace else workspace_from_environment()
    path = output or space.compiled_pipeline(settings.pipeline_name)
    with native_logs_kept():
        from pipeline.kubeflow.compile import compile_pipeline, write_compiled

        compiled = compile_pipeline(settings)
        write_compiled(compiled, path)
    tasks = compiled.spec["root"]["dag"]["tasks"]
    Console().print(
        f"[bold]{escape(str(path))}[/] holds {len(tasks)} stages. Next: loupe kubeflow upload",
        soft_wrap=True,
    )


add_commands(kubeflow_app)
