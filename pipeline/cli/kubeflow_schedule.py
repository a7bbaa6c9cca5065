"""`loupe kubeflow schedule`: applies, pauses and resumes a schedule."""

from typing import Annotated

import typer
from rich.console import Console

from configs.errors import ConfigError
from configs.load import load_config
from pipeline.cli.kubeflow_client import (
    KUBEFLOW_CONFIG,
    ConfigOption,
    DataVersionOption,
    EndpointOption,
    NamespaceOption,
    ParameterOption,
    SetOption,
    VersionOption,
    collect_values,
    open_session,
)
from pipeline.cli.kubeflow_progress import say


def schedule(
    cron: Annotated[
        str,
        typer.Option("--cron", help="Six fields, seconds first; none: kubeflow.schedule."),
    ] = "",
    name: Annotated[
        str, typer.Option("--name", help="Name of the schedule; none: the pipeline's.")
    ] = "",
    parameter: ParameterOption = [],  # noqa: B006
    data_version: DataVersionOption = "",
    version: VersionOption = "",
    pause: Annotated[bool, typer.Option("--pause", help="Start no runs from now on.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Start runs again.")] = False,
    config: ConfigOption = KUBEFLOW_CONFIG,
    set_: SetOption = [],  # noqa: B006
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Apply a schedule; the same twice leaves one. --pause or --resume alone change only that."""
    console = Console()
    is_paused = _read_pause(pause, resume)
    settings = load_config(config, set_)
    title = name or settings.pipeline_name
    # Without a cron there may be a schedule to pause or resume: its own settings stay.
    is_change_only = is_paused is not None and not cron
    expression = "" if is_change_only else _require_cron(cron or settings.kubeflow.schedule)
    session = open_session(config, set_, endpoint, namespace)
    from pipeline.kubeflow.run_parameters import RUN_ID, refuse_macros
    from pipeline.kubeflow.schedules import Schedule, apply_schedule, set_paused
    from pipeline.kubeflow.versions import find_version

    if is_change_only:
        applied = set_paused(session.client, title, is_paused=bool(is_paused))
    else:
        found = find_version(session.client, settings.pipeline_name, version)
        values = collect_values(
            found,
            parameter,
            data_version=data_version,
            find_default=lambda _: RUN_ID,  # each run reads the images again
        )
        refuse_macros(values)
        wanted = Schedule(
            name=title,
            cron=expression,
            version=found,
            values=values,
            experiment=settings.kubeflow.experiment,
            pipeline_root=settings.kubeflow.pipeline_root,
            service_account=settings.kubeflow.service_account,
        )
        applied = apply_schedule(session.client, wanted, is_paused=is_paused)
        say(console, f"schedule {title}: {expression}, version {found.name}")
    say(console, f"schedule {title}: {applied.outcome}")
    if not applied.is_enabled:
        say(console, "It is paused: it starts no runs until --resume.")
    for left in applied.left_behind:
        say(
            console,
            f"Its predecessor {left} is paused and stays until its run ends, which deleting it "
            "would end too. Apply the schedule again to remove it.",
        )
    say(console, session.client.access.schedule_link(applied.recurring_run_id))


def _read_pause(pause: bool, resume: bool) -> bool | None:
    if pause and resume:
        raise ConfigError("--pause and --resume are both given, expected one.")
    return pause if pause or resume else None


def _require_cron(expression: str) -> str:
    from pipeline.kubeflow.cron import check_cron

    if not expression:
        raise ConfigError(
            "there is no cron expression. Give --cron, such as '0 0 3 * * *' for 3 o'clock each "
            "day, or set kubeflow.schedule."
        )
    return check_cron(expression)
