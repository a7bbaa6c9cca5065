"""Reads a named run, the environment and `SET` into one validated config."""

import contextlib
import dataclasses
import difflib
import json
import os
import shlex
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from configs.cluster import Cluster, parse_cluster
from configs.errors import ConfigError
from configs.kubeflow_access import (
    CA_FILE_VARIABLE,
    ENDPOINT_VARIABLE,
    NAMESPACE_VARIABLE,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    UI_VARIABLE,
    KubeflowAccess,
)
from configs.types import PipelineConfig
from configs.workspace import Workspace

CONFIG_FOLDER = Path(__file__).resolve().parent
REPOSITORY_ROOT = CONFIG_FOLDER.parent
DEFAULT_CONFIG = "default"

T = typing.TypeVar("T")


def load_config(name: str = DEFAULT_CONFIG, overrides: Iterable[str] = ()) -> PipelineConfig:
    """Read a named run and apply settings on top of it.

    Args:
        name: a file of `configs/` without its ending, or the path of a YAML file.
        overrides: settings such as `train.epochs=3`, later ones win.

    Returns:
        The validated config.

    Raises:
        ConfigError: no such config, YAML that does not parse, an unknown setting or a bad value.
    """
    values = _read_yaml(_find_config_file(name))
    for override in overrides:
        dotted_name, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(
                f"setting '{override}' has no '=', expected name=value such as train.epochs=3."
            )
        _set_nested(values, dotted_name.strip(), yaml.safe_load(text))
    return _build(PipelineConfig, values, prefix="")


def load_config_from_environment(
    environ: Mapping[str, str] | None = None, *, default: str = DEFAULT_CONFIG
) -> PipelineConfig:
    """Read the config that LOUPE_CONFIG, LOUPE_DATA and LOUPE_SET describe.

    Args:
        environ: variables; None means the process environment. The `tfx` CLI starts runners
            without flags, so this is how they are told.
        default: the named run where LOUPE_CONFIG is not set.

    Returns:
        The validated config.

    Raises:
        ConfigError: as `load_config`.
    """
    environ = os.environ if environ is None else environ
    overrides = shlex.split(environ.get("LOUPE_SET", ""))
    if environ.get("LOUPE_DATA"):
        overrides.insert(0, f"data.path={json.dumps(environ['LOUPE_DATA'])}")
    return load_config(environ.get("LOUPE_CONFIG") or default, overrides)


def workspace_from_environment(environ: Mapping[str, str] | None = None) -> Workspace:
    """Find the workspace.

    Args:
        environ: variables; None means the process environment.

    Returns:
        LOUPE_WORKSPACE, or `workspace/` inside the clone.
    """
    environ = os.environ if environ is None else environ
    folder = environ.get("LOUPE_WORKSPACE") or REPOSITORY_ROOT / "workspace"
    return Workspace.at(folder)


def run_folder_from_environment(environ: Mapping[str, str] | None = None) -> Path | None:
    """Find the run folder that a watching process has made.

    Args:
        environ: variables; None means the process environment.

    Returns:
        LOUPE_RUN_FOLDER; None when nobody watches.
    """
    folder = (os.environ if environ is None else environ).get("LOUPE_RUN_FOLDER")
    return Path(folder) if folder else None


def kubeflow_access_from_environment(
    endpoint: str = "",
    namespace: str = "",
    *,
    given_endpoint: str = "",
    given_namespace: str = "",
    environ: Mapping[str, str] | None = None,
) -> KubeflowAccess:
    """Find out where Kubeflow Pipelines answers and who asks.

    Args:
        endpoint: URL from the config, used where the environment names none.
        namespace: namespace from the config, likewise.
        given_endpoint: URL from the command line, which wins.
        given_namespace: namespace from the command line, likewise.
        environ: variables; None means the process environment.

    Returns:
        LOUPE_KUBEFLOW_ENDPOINT and LOUPE_KUBEFLOW_NAMESPACE over the config's; the token from
        LOUPE_KUBEFLOW_TOKEN or the file in LOUPE_KUBEFLOW_TOKEN_FILE; the authority's file from
        LOUPE_KUBEFLOW_CA_FILE; the address of links from LOUPE_KUBEFLOW_UI.

    Raises:
        ConfigError: no endpoint, one that is no URL, both a token and a file, or a missing file.
    """
    environ = os.environ if environ is None else environ
    token = environ.get(TOKEN_VARIABLE, "").strip()
    token_file = environ.get(TOKEN_FILE_VARIABLE, "")
    if token and token_file:
        raise ConfigError(
            f"both {TOKEN_VARIABLE} and {TOKEN_FILE_VARIABLE} are set, expected one. Unset one."
        )
    return KubeflowAccess(
        endpoint=given_endpoint or environ.get(ENDPOINT_VARIABLE) or endpoint,
        namespace=given_namespace or environ.get(NAMESPACE_VARIABLE) or namespace,
        token=token,
        token_file=token_file,
        ca_file=environ.get(CA_FILE_VARIABLE, ""),
        ui=environ.get(UI_VARIABLE, ""),
    )


def cluster_from_environment(environ: Mapping[str, str] | None = None) -> Cluster:
    """Find the workers that train together.

    Args:
        environ: variables; None means the process environment.

    Returns:
        What TF_CONFIG says.

    Raises:
        ConfigError: it is not set, or `parse_cluster` refuses it.
    """
    text = (os.environ if environ is None else environ).get("TF_CONFIG")
    if not text:
        raise ConfigError(
            "TF_CONFIG is not set, expected the list of workers. deploy/kubernetes/training shows "
            "how a Job sets it."
        )
    return parse_cluster(text)


def kubeflow_local_root_from_environment(environ: Mapping[str, str] | None = None) -> Path:
    """Find the folder below which Kubeflow's launcher keeps its local copies of artifacts.

    Args:
        environ: variables; None means the process environment.

    Returns:
        LOUPE_KUBEFLOW_LOCAL_ROOT, set by tests only, or the root folder: the launcher writes to
        /gcs, /s3 and /minio.
    """
    folder = (os.environ if environ is None else environ).get("LOUPE_KUBEFLOW_LOCAL_ROOT")
    return Path(folder or "/")


def to_environment(
    name: str, data: str, overrides: Iterable[str], workspace: Path, run_folder: Path
) -> dict[str, str]:
    """Write what a run is told as variables for a runner process.

    Args:
        name: a named run.
        data: folder or manifest of images; empty means the config's own.
        overrides: settings such as `train.epochs=3`.
        workspace: folder below which the run writes.
        run_folder: where the run's log, events and summary go.

    Returns:
        The process environment, with the variables that the functions above read.
    """
    return {
        **os.environ,
        "LOUPE_CONFIG": name,
        "LOUPE_DATA": data,
        "LOUPE_WORKSPACE": str(workspace),
        "LOUPE_SET": shlex.join(overrides),
        "LOUPE_RUN_FOLDER": str(run_folder),
    }


def part_to_json(part: Any) -> str:
    """Write one stage's settings so that the stage can read them back.

    Args:
        part: a dataclass of `configs.types`.

    Returns:
        One line of JSON, keys sorted, so that equal settings give equal text (TFX caches by it).
    """
    return json.dumps(dataclasses.asdict(part), sort_keys=True)


def from_json(config_class: type[T], text: str) -> T:
    """Read a config, or one of its parts, from JSON.

    Args:
        config_class: a dataclass of `configs.types`.
        text: JSON of that dataclass's fields.

    Returns:
        The validated dataclass.

    Raises:
        ConfigError: an unknown setting or a bad value.
    """
    return _build(config_class, json.loads(text), prefix="")


def _find_config_file(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"config file '{path}' does not exist. Check the path.")
        return path
    path = CONFIG_FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in CONFIG_FOLDER.glob("*.yaml"))
        raise ConfigError(f"config '{name}' does not exist{_nearest(name, known)}")
    return path


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"config file '{path}' is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"config file '{path}' holds no settings, expected 'stage: ...' lines.")
    return typing.cast(dict[str, Any], values)


def _set_nested(values: dict[str, Any], dotted_name: str, value: Any) -> None:
    *parents, leaf = dotted_name.split(".")
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"setting '{dotted_name}': '{parent}' is a value, not a stage.")
        values = typing.cast(dict[str, Any], child)
    values[leaf] = value


def _build(config_class: type[T], values: Mapping[str, Any], *, prefix: str) -> T:
    hints = typing.get_type_hints(config_class)
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            given = prefix + ".".join([name, *(value if isinstance(value, dict) else ())][:2])
            known = list(all_setting_names(PipelineConfig))
            raise ConfigError(f"unknown setting '{given}'{_nearest(given, known)}")
        arguments[name] = _convert(hints[name], value, f"{prefix}{name}")
    return config_class(**arguments)


def all_setting_names(config_class: type[Any], prefix: str = "") -> Iterable[str]:
    """List every setting by its dotted name.

    Args:
        config_class: a dataclass of `configs.types`.
        prefix: dotted name of that dataclass, ending in a dot; empty for the root.

    Yields:
        Names such as `train.epochs`, in the order they are declared.
    """
    for name, hint in typing.get_type_hints(config_class).items():
        if dataclasses.is_dataclass(hint):
            yield from all_setting_names(typing.cast(type[Any], hint), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _convert(hint: Any, value: Any, name: str) -> Any:
    if isinstance(hint, types.UnionType):  # of one type and None, which an empty value means
        return None if value is None else _convert(typing.get_args(hint)[0], value, name)
    if dataclasses.is_dataclass(hint):
        part = typing.cast(type[Any], hint)
        return _build(part, _require_mapping(value, name), prefix=f"{name}.")
    if typing.get_origin(hint) is dict:
        item = typing.get_args(hint)[1]
        values = _require_mapping({} if value is None else value, name)
        return {
            str(key): _convert_item(item, each, f"{name}.{key}") for key, each in values.items()
        }
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        items: Any = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(item, each, name) for each in items)
    return _convert_scalar(hint, value, name)


def _convert_item(hint: Any, value: Any, name: str) -> Any:
    if hint is str and isinstance(value, bool):
        raise ConfigError(
            f"{name} is {value!r}, which YAML makes of words such as yes, on and true. Put the "
            "word that you mean into quotes."
        )
    return _convert(hint, value, name)


def _require_mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} is {value!r}, expected settings below it such as {name}.x.")
    return typing.cast(dict[str, Any], value)


def _convert_scalar(hint: Any, value: Any, name: str) -> Any:
    # Undo what YAML reads differently from what the person meant: 1e-3, on, an empty value.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    if hint is float and is_number:
        return float(value)
    if hint is str and isinstance(value, bool):
        return "on" if value else "off"
    if hint is str and (value is None or is_number):
        return "" if value is None else str(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        kind = type(value).__name__
        raise ConfigError(f"{name} is {value!r} ({kind}), expected {hint.__name__}. Change it.")
    return value


def _nearest(name: str, known: list[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    leaf = name.rpartition(".")[2]
    matches += [k for k in known if k.rpartition(".")[2] == leaf and k not in matches]
    if matches:
        return f". Did you mean {', '.join(matches[:4])}?"
    return f". Expected one of: {', '.join(known)}."
