"""A compiled file that somebody gives: read and checked before it is uploaded."""

from pathlib import Path
from typing import Any, cast

import yaml

from configs.errors import ConfigError
from pipeline.kubeflow.lint import check_findings, find_problems
from pipeline.kubeflow.parameters import DATA_VERSION


def check_compiled_file(path: Path) -> None:
    """Refuse a file that Kubeflow would refuse, before any of it is sent.

    Args:
        path: the file.

    Raises:
        ConfigError: it does not exist, is no YAML of a pipeline spec and perhaps a platform
            document, or the linter finds something.
    """
    if not path.is_file():
        raise ConfigError(f"compiled file '{path}' does not exist. Check the path.")
    try:
        documents: list[Any] = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"compiled file '{path}' is not YAML: {' '.join(str(error).split())} Compile it again: "
            "loupe kubeflow compile"
        ) from error
    if not 1 <= len(documents) <= 2 or not all(isinstance(each, dict) for each in documents):
        raise ConfigError(
            f"compiled file '{path}' holds {len(documents)} YAML documents, expected a pipeline "
            "spec and a platform document. Compile it again: loupe kubeflow compile"
        )
    spec, platform = cast(list[dict[str, Any]], [*documents, {}])[:2]
    check_findings(find_problems(spec, platform, required=(DATA_VERSION,)))
