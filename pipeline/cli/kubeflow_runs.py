"""`loupe kubeflow upload|run|schedule|runs|wait|delete`: thin wrappers over the client."""

import sys
import tempfile
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from configs.errors import ConfigError
from configs.load import REPOSITORY_ROOT, load_config
from configs.types import PipelineConfig
from pipeline.cli.kubeflow_client import (
    KUBEFLOW_CONFIG,
    ConfigOption,
    DataVersionOption,
    EndpointOption,
    NamespaceOption,
    ParameterOption,
    Session,
    SetOption,
    VersionOption,
    collect_values,
    find_data_version,
    open_session,
)
from pipeline.cli.kubeflow_progress import duration_text, render_runs, say, show_run
from pipeline.cli.kubeflow_schedule import schedule
from pipeline.cli.native_logs import native_logs_kept
from pipeline.cli.run import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from kfp_server_api import V2beta1Run

TABLE_COLUMNS = 200
"""Width of the table of runs where nobody sees it: a log or a pipe must not fold links."""


class Kind(StrEnum):
    """What `delete` deletes."""

    RUN = "run"
    SCHEDULE = "schedule"
    VERSION = "version"


def add_commands(app: typer.Typer) -> None:
    """Give an app the commands that talk to a server.

    Args:
        app: `loupe kubeflow`.
    """
    for command in (upload, run, schedule, runs, wait, delete):
        app.command(command.__name__)(command)


def upload(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A compiled file; none: compile now.")
    ] = None,
    version: Annotated[
        str, typer.Option("--version", help="Name of the version; none: the git commit.")
    ] = "",
    config: ConfigOption = KUBEFLOW_CONFIG,
    set_: SetOption = [],  # noqa: B006 (typer copies it)
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Compile, check and upload the pipeline: one version per git commit."""
    console = Console()
    settings = load_config(config, set_)
    session = open_session(config, set_, endpoint, namespace)
    with tempfile.TemporaryDirectory() as folder:
        from pipeline.kubeflow.compiled_file import check_compiled_file

        if file:
            check_compiled_file(file)
        path = file or _compile(settings, Path(folder))
        name = version or _name_version(console, path)
        from pipeline.kubeflow.versions import upload_version

        uploaded = upload_version(session.client, settings.pipeline_name, name, path)
    done = "uploaded" if uploaded.is_new else "there already, unchanged"
    say(console, f"version {uploaded.name}: {done}")
    say(console, session.client.access.version_link(uploaded.pipeline_id, uploaded.version_id))


def run(
    parameter: ParameterOption = [],  # noqa: B006
    data_version: DataVersionOption = "",
    data: Annotated[
        str, typer.Option("--data", "-d", help="The images as seen from here, to fingerprint them.")
    ] = "",
    version: VersionOption = "",
    name: Annotated[str, typer.Option("--name", help="Name of the run; none: a new one.")] = "",
    if_new: Annotated[
        bool, typer.Option("--if-new", help="Not again what did not fail, or failed three times.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it ends.")] = False,
    timeout: Annotated[
        int, typer.Option("--timeout", min=0, help="Longest wait in seconds; 0: no limit.")
    ] = 0,
    config: ConfigOption = KUBEFLOW_CONFIG,
    set_: SetOption = [],  # noqa: B006
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Start a run, and print its link. With --wait: 0 succeeded, 5 a stage failed."""
    console = Console()
    session = open_session(config, set_, endpoint, namespace)
    from pipeline.kubeflow.runs import find_same_run, start_run
    from pipeline.kubeflow.versions import find_version
    from pipeline.kubeflow.watch import stage_names

    settings = session.config
    found = find_version(session.client, settings.pipeline_name, version)
    values = collect_values(
        found,
        parameter,
        data_version=data_version,
        find_default=lambda others: find_data_version(session, found, data, others),
    )
    started = find_same_run(session.client, found, values) if if_new else None
    told = ", ".join(f"{key}={value}" for key, value in sorted(values.items()))
    if started:
        say(console, f"run {started.display_name} is there already, of {found.name} with {told}")
    else:
        moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        started = start_run(
            session.client,
            found,
            name or f"{settings.pipeline_name}-{found.name}-{moment}",
            values,
            experiment=settings.kubeflow.experiment,
            pipeline_root=settings.kubeflow.pipeline_root,
            service_account=settings.kubeflow.service_account,
        )
        say(console, f"run {started.display_name} of version {found.name} with {told}")
    say(console, session.client.access.run_link(str(started.run_id)))
    if wait:
        _watch(console, session, started, stage_names(found.spec), timeout)


def runs(
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most runs to show.")] = 20,
    config: ConfigOption = KUBEFLOW_CONFIG,
    set_: SetOption = [],  # noqa: B006
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Show the newest runs: state, duration, version, data version and link."""
    console = Console()
    session = open_session(config, set_, endpoint, namespace)
    from pipeline.kubeflow.runs import list_runs

    rows = list_runs(session.client, session.config.pipeline_name, limit=limit)
    if not rows:
        say(console, "There are no runs yet. Start one: loupe kubeflow run")
        return
    if not console.is_terminal:
        console = Console(width=TABLE_COLUMNS)
    console.print(render_runs(rows, is_wide=console.width >= TABLE_COLUMNS))


def wait(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Name or id of a run.")],
    timeout: Annotated[
        int, typer.Option("--timeout", min=0, help="Longest wait in seconds; 0: no limit.")
    ] = 0,
    config: ConfigOption = KUBEFLOW_CONFIG,
    set_: SetOption = [],  # noqa: B006
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Watch a run until it ends. Exit codes: 0 succeeded, 5 a stage failed, else an error."""
    console = Console()
    session = open_session(config, set_, endpoint, namespace)
    from pipeline.kubeflow.runs import find_run
    from pipeline.kubeflow.versions import read_spec
    from pipeline.kubeflow.watch import stage_names

    found = find_run(session.client, name)
    stages = stage_names(read_spec(session.client, found))
    say(console, f"run {found.display_name}")
    say(console, session.client.access.run_link(str(found.run_id)))
    _watch(console, session, found, stages, timeout)


def delete(
    kind: Annotated[Kind, typer.Argument(help="What to delete.")],
    name: Annotated[str, typer.Argument(help="Its name; of a run also its id.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = KUBEFLOW_CONFIG,
    set_: SetOption = [],  # noqa: B006
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Delete a run, a schedule or a version of the pipeline, after asking."""
    console = Console()
    session = open_session(config, set_, endpoint, namespace)
    from pipeline.kubeflow.deletion import find_deletion

    deletion = find_deletion(session.client, kind, name, session.config.pipeline_name)
    if not yes:
        _ask(deletion.text)
    deletion.delete()
    say(console, f"{kind} {name}: deleted")


def _watch(
    console: Console, session: Session, found: "V2beta1Run", stages: list[str], timeout: int
) -> None:
    from pipeline.kubeflow.rest import NOT_FOUND, RefusedError, UnreachableError
    from pipeline.kubeflow.runs import duration_of
    from pipeline.kubeflow.watch import watch_run

    goes_on = f"The run goes on. Watch it again: loupe kubeflow wait {found.run_id}"

    try:
        with show_run(console, session.client.access.namespace) as report:
            ended = watch_run(session.client, found, stages, report, timeout_seconds=timeout)
    except KeyboardInterrupt:
        say(console, goes_on)
        sys.exit(EXIT_INTERRUPTED)
    except (RefusedError, UnreachableError) as error:
        if not isinstance(error, RefusedError) or error.status != NOT_FOUND:
            say(console, goes_on)
        raise
    took = duration_text(duration_of(ended, datetime.now(UTC)))
    say(console, f"run {ended.display_name} succeeded in {took}")


def _ask(text: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(f"{text} Nobody can be asked here. Give --yes if you mean it.")
    typer.confirm(f"{text} Go on?", abort=True)


def _compile(settings: PipelineConfig, folder: Path) -> Path:
    path = folder / f"{settings.pipeline_name}.yaml"
    with native_logs_kept():
        from pipeline.kubeflow.compile import compile_pipeline, write_compiled

        write_compiled(compile_pipeline(settings), path)
    return path


def _name_version(console: Console, compiled: Path) -> str:
    from pipeline.kubeflow.revision import find_revision

    revision = find_revision(REPOSITORY_ROOT)
    name = revision.version_name(compiled.read_bytes())
    if revision.is_dirty:
        say(
            console,
            f"This tree differs from commit {revision.commit[:12]}: the version is called {name}, "
            "and nobody can make it again from git. Its image may hold other code.",
        )
    return name
