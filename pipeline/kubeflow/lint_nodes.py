"""Rules about TFX nodes that must be asked before TFX compiles them: it fails or forgets."""

from collections.abc import Iterable, Iterator
from typing import Any

from tfx.components import FileBasedExampleGen, InfraValidator
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver

from pipeline.kubeflow.findings import Finding

_MODULE_PARAMETERS = ("module_file", "module_path")


def find_in_nodes(nodes: Iterable[BaseNode]) -> list[Finding]:
    """Check the nodes of a pipeline.

    Args:
        nodes: its nodes.

    Returns:
        What cannot be compiled for Kubeflow, or would lose something on the way.
    """
    return [finding for node in nodes for finding in _find_in_node(node)]


def _find_in_node(node: Any) -> Iterator[Finding]:
    where = f"node '{node.id}'"
    if isinstance(node, Resolver):
        yield Finding(
            "C4",
            where,
            "Kubeflow has no resolvers",
            "Use a component instead; components.blessed finds the last blessed model",
        )
    if isinstance(node, InfraValidator):
        yield Finding(
            "C13",
            where,
            "TFX's InfraValidator cannot be compiled for Kubeflow",
            "Use components.infra_validator, which serves in the same pod",
        )
    if isinstance(node, FileBasedExampleGen):
        yield Finding(
            "C6",
            where,
            "its driver, which Kubeflow does not run, finds its data, so that new data is not seen",
            "Use ImageExampleGen, which gets the data's version as a parameter",
        )
        if node.platform_config:
            yield Finding(
                "C7",
                where,
                "TFX drops its platform_config",
                f"Set kubeflow.stages.{node.id}, or use ImageExampleGen",
            )
    for parameter in _MODULE_PARAMETERS:
        if node.exec_properties.get(parameter) is not None:
            yield Finding(
                "C15",
                where,
                f"TFX packs its {parameter} into the pipeline root while it compiles",
                "Put the code into the image and name the function: run_fn='package.module.run_fn'",
            )
