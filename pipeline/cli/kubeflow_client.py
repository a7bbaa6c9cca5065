"""What the commands of `loupe kubeflow` that talk to a server have in common.

`kfp` and its client take half a second to import, so that these modules are imported when a
command runs and not before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.errors import ConfigError
from configs.load import kubeflow_access_from_environment, load_config
from configs.types import PipelineConfig

if TYPE_CHECKING:
    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.versions import Version

KUBEFLOW_CONFIG = "kubeflow"

ConfigOption = Annotated[
    str, typer.Option("--config", "-c", help="A file of configs/, or the path of a YAML file.")
]
SetOption = Annotated[
    list[str], typer.Option("--set", "-s", help="A setting, such as kubeflow.namespace=ml.")
]
EndpointOption = Annotated[
    str, typer.Option("--endpoint", help="URL of Kubeflow Pipelines; none: kubeflow.endpoint.")
]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace; none: kubeflow.namespace.")
]
VersionOption = Annotated[
    str, typer.Option("--version", help="Version of the pipeline; none: the newest.")
]
ParameterOption = Annotated[
    list[str],
    typer.Option("--parameter", "-p", help="A parameter, such as train_epochs=3; repeatable."),
]
DataVersionOption = Annotated[
    str, typer.Option("--data-version", help="Fingerprint of the images, or a name of your own.")
]


@dataclass(frozen=True)
class Session:
    """Settings and a client that has seen the server answer.

    Attributes:
        config: all settings.
        client: the client.
    """

    config: PipelineConfig
    client: "KubeflowClient"


def open_session(config: str, overrides: list[str], endpoint: str, namespace: str) -> Session:
    """Read the settings and connect.

    Args:
        config: a named run.
        overrides: settings such as `kubeflow.namespace=ml`.
        endpoint: URL from the command line; empty means environment, then settings.
        namespace: namespace from the command line, likewise.

    Returns:
        The session.
    """
    settings = load_config(config, overrides)
    access = kubeflow_access_from_environment(
        settings.kubeflow.endpoint,
        settings.kubeflow.namespace,
        given_endpoint=endpoint,
        given_namespace=namespace,
    )
    from pipeline.kubeflow.client import connect

    return Session(settings, connect(access))


def collect_values(
    version: "Version",
    texts: list[str],
    *,
    data_version: str,
    find_default: Callable[[Mapping[str, Any]], str],
) -> dict[str, Any]:
    """Put the parameters of a run together, and check them before anything is sent.

    Args:
        version: version of the pipeline.
        texts: `name=value` from the command line.
        data_version: what `--data-version` gave.
        find_default: takes the other parameters, returns the data version where none was given.

    Returns:
        Values by name.

    Raises:
        ConfigError: an unknown name, a value of another type, or one that is missing.
    """
    from pipeline.kubeflow.parameters import DATA_VERSION
    from pipeline.kubeflow.run_parameters import parse_values, read_parameters, require_all

    parameters = read_parameters(version.spec)
    values = parse_values(parameters, texts)
    if data_version and DATA_VERSION in values:
        raise ConfigError(
            f"--data-version and --parameter {DATA_VERSION}=... are both given, expected one."
        )
    if data_version or (DATA_VERSION in parameters and DATA_VERSION not in values):
        values[DATA_VERSION] = data_version or find_default(values)
    require_all(parameters, values)
    return values


def find_data_version(
    session: Session, version: "Version", data: str, values: Mapping[str, Any]
) -> str:
    """Fingerprint the images where they can be seen from here.

    Args:
        session: the session.
        version: version of the pipeline, whose default says where the pods read.
        data: folder, manifest or archive that `--data` gave; empty means what the pods read,
            which may be mounted here too.
        values: parameters of the run, where the place may be another one.

    Returns:
        The fingerprint.

    Raises:
        ConfigError: the images cannot be seen from here.
        DataError: the images cannot train a classifier.
    """
    from pipeline.kubeflow.parameters import DATA_ROOT
    from pipeline.kubeflow.run_parameters import data_version_of, read_parameters

    parameter = read_parameters(version.spec).get(DATA_ROOT)
    root = data or values.get(DATA_ROOT) or (parameter.default if parameter else "") or ""
    if not data and not (root and Path(root).exists()):
        raise ConfigError(
            f"parameter data_version has no value: the images in '{root}' cannot be seen from "
            "here, so that they have no fingerprint. Name the folder here with --data, or give "
            "--data-version: the same text means the same images, a new one that they changed."
        )
    return data_version_of(Path(root), span=session.config.data.span)
