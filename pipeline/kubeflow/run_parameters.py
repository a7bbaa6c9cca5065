"""Parameters of a run: what the pipeline takes, and what it is given."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from configs.errors import ConfigError
from data.archives import is_archive
from data.sources import fingerprint, list_images

RUN_ID = "{{workflow.uid}}"
"""Kubeflow puts the id of the run in its place, also in runs that a schedule starts."""

_MACRO = re.compile(r"\[\[(?:ScheduledTime|CurrentTime|RunUUID|Index)\b[^]]*\]\]")

_EXPECTED = {
    "STRING": "text",
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "LIST": 'a JSON list such as ["a", "b"]',
    "STRUCT": 'a JSON object such as {"a": 1}',
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a pipeline version.

    Attributes:
        name: its name.
        kind: `STRING`, `NUMBER_INTEGER`, `NUMBER_DOUBLE`, `BOOLEAN`, `LIST` or `STRUCT`.
        is_required: it has no default and is not optional.
        default: value that the server takes when none is given; None when there is none.
    """

    name: str
    kind: str
    is_required: bool
    default: Any = None


def read_parameters(spec: Mapping[str, Any]) -> dict[str, Parameter]:
    """Read what a pipeline version takes.

    Args:
        spec: the compiled pipeline, alone or as `pipeline_spec` beside `platform_spec`, as the
            server hands it out.

    Returns:
        Parameters by name.
    """
    root = spec.get("pipeline_spec", spec).get("root", {})
    definitions = root.get("inputDefinitions", {}).get("parameters", {})
    return {
        name: Parameter(
            name=name,
            kind=definition.get("parameterType", "STRING"),
            is_required="defaultValue" not in definition and not definition.get("isOptional"),
            default=definition.get("defaultValue"),
        )
        for name, definition in sorted(definitions.items())
    }


def parse_values(parameters: Mapping[str, Parameter], texts: Iterable[str]) -> dict[str, Any]:
    """Read parameters from the command line.

    Args:
        parameters: what the pipeline version takes.
        texts: `name=value`, later ones win.

    Returns:
        Values of the types that the server expects.

    Raises:
        ConfigError: no `=`, an unknown name, or a value of another type.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(
                f"parameter '{text}' has no '=', expected name=value such as data_version=v2."
            )
        values[name.strip()] = _convert(_find(parameters, name.strip()), value)
    return values


def require_all(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> None:
    """Check that a run gets every parameter that has no default.

    Args:
        parameters: what the pipeline version takes.
        values: what the run is given.

    Raises:
        ConfigError: an unknown name, or one that is missing.
    """
    for name in values:
        _find(parameters, name)
    missing = [each.name for each in parameters.values() if each.is_required]
    missing = [name for name in missing if name not in values]
    if missing:
        options = " ".join(f"--parameter {name}=..." for name in missing)
        raise ConfigError(
            f"parameter {', '.join(missing)} has no value and no default. Give {options}."
        )


def refuse_macros(values: Mapping[str, Any]) -> None:
    """Refuse what Kubeflow Pipelines 1 replaced in scheduled runs, and version 2 does not.

    A schedule of a pipeline version keeps the compiled workflow, in which the scheduler fills in
    the id of the run and nothing else.

    Args:
        values: parameters of scheduled runs.

    Raises:
        ConfigError: one holds such a macro.

    Source: github.com/kubeflow/pipelines/issues/12494.
    """
    for name, value in values.items():
        if isinstance(value, str) and (macro := _MACRO.search(value)):
            raise ConfigError(
                f"parameter {name} is '{value}', and each scheduled run would get {macro[0]} as it "
                f"stands: Kubeflow Pipelines 2 puts no value there. Write {RUN_ID}, which becomes "
                "the id of the run, or a value of your own."
            )


def data_version_of(root: Path, *, span: int = 0) -> str:
    """Compute the fingerprint of a data set, so that new data behind the same path is seen.

    Args:
        root: folder, manifest or archive, as ExampleGen would read it.
        span: newest span to read; 0 reads all there are.

    Returns:
        16 hexadecimal digits.

    Raises:
        DataError: there is no data, or it cannot train a classifier.
    """
    if is_archive(root):  # one file: what it holds changes only with it
        status = root.stat()
        state = f"{root.name}\0{status.st_size}\0{status.st_mtime_ns}"
        return hashlib.blake2b(state.encode(), digest_size=8).hexdigest()
    return fingerprint(list_images(root, span=span))


def _find(parameters: Mapping[str, Parameter], name: str) -> Parameter:
    if name not in parameters:
        known = ", ".join(sorted(parameters)) or "none, it takes no parameter"
        raise ConfigError(f"the pipeline has no parameter '{name}', expected one of: {known}.")
    return parameters[name]


def _convert(parameter: Parameter, text: str) -> Any:
    if parameter.kind == "STRING":
        return text
    try:
        value: Any = json.loads(text)
    except ValueError:
        value = None
    if parameter.kind == "NUMBER_DOUBLE" and _is_number(value) and math.isfinite(value):
        return float(value)
    # 3.0 and 1e3 are whole numbers too; the server sees no difference.
    if parameter.kind == "NUMBER_INTEGER" and _is_number(value) and value == value // 1:
        return int(value)
    wanted = {"BOOLEAN": bool, "LIST": list, "STRUCT": dict}.get(parameter.kind)
    if wanted is not None and isinstance(value, wanted):
        return cast(Any, value)
    expected = _EXPECTED.get(parameter.kind, f"a value of type {parameter.kind}")
    raise ConfigError(f"parameter {parameter.name} is '{text}', expected {expected}. Change it.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
