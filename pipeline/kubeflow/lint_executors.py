"""Rules about what runs: containers, importers and the types of artifacts."""

import importlib.util
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from configs.errors import ConfigError
from configs.kubeflow import require_image
from configs.quantity import parse_quantity
from pipeline.kubeflow.findings import Finding

IMPORTABLE = ("gs://", "s3://", "minio://")
_TITLE = re.compile(r"[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}")
_RESOURCE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-\w.]*[A-Za-z0-9])?")
_STANDARD_TYPES = {
    "Boolean", "Bytes", "Dataset", "ExampleAnomalies", "ExampleStatistics", "Examples", "File",
    "Float", "HyperParameters", "InferenceResult", "InfraBlessing", "Integer", "JsonValue",
    "Metrics", "Model", "ModelBlessing", "ModelEvaluation", "ModelRun", "PushedModel", "Schema",
    "Statistics", "String", "TransformCache", "TransformGraph", "TunerResults",
}  # fmt: skip
_MODULE_PARAMETERS = {"module_file", "module_path"}


def find_in_executors(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """Check what the tasks run.

    Args:
        spec: the pipeline spec.

    Yields:
        What the compiler of Argo's workflow would refuse, or what would fail in the pod.
    """
    for label, executor in spec.get("deploymentSpec", {}).get("executors", {}).items():
        if "container" in executor:
            yield from _find_in_container(label, executor["container"])
        elif "importer" in executor:
            yield from _find_in_importer(label, executor["importer"])
        else:
            yield Finding(
                "C4",
                f"executor '{label}'",
                f"it is of kind '{', '.join(executor) or 'none'}', which is not implemented",
                "Use a component instead of a Resolver; components.blessed finds the last blessed "
                "model",
            )
    for name, component in spec.get("components", {}).items():
        parameters = component.get("inputDefinitions", {}).get("parameters", {})
        for parameter in sorted(_MODULE_PARAMETERS & set(parameters)):
            yield Finding(
                "C15",
                f"component '{name}'",
                f"it has a {parameter}, which TFX packs into the pipeline root while it compiles",
                "Put the code into the image and name the function: run_fn='package.module.run_fn'",
            )


def _find_in_container(label: str, container: Mapping[str, Any]) -> Iterator[Finding]:
    where = f"executor '{label}'"
    if not container.get("command"):
        yield Finding(
            "C16",
            where,
            "it has no command, and an image's own entry point is never used",
            "Compile with default_commands",
        )
    if "lifecycle" in container:
        yield Finding(
            "C6",
            where,
            "its lifecycle hook is ignored, so that spans and new data are not seen",
            "Use ImageExampleGen, which is no FileBasedExampleGen",
        )
    texts = [*container.get("command", []), *container.get("args", [])]
    if "tfx.components.infra_validator.executor.Executor" in texts:
        yield Finding(
            "C13",
            where,
            "TFX's InfraValidator starts Docker or a pod of its own",
            "Use components.infra_validator, which serves in the same pod",
        )
    if any("artifacts['" in text and "'].uri}}" in text for text in texts):
        yield Finding(
            "M11",
            where,
            "its arguments hold URIs of the object store, which its program cannot read",
            "Write .path in place of .uri",
        )
    for text in texts:
        if text.startswith("--runner=") and text != "--runner=DirectRunner":
            yield Finding(
                "M9",
                where,
                f"it has {text}, whose workers cannot see the folders of this pod",
                "Leave beam.runner=DirectRunner on Kubeflow, and give the stage more CPUs",
            )
    try:
        require_image(where, container.get("image", ""))
    except ConfigError as error:
        yield Finding("IMAGE", where, str(error).removesuffix("."), "Set kubeflow.image")
    yield from _find_in_resources(where, container.get("resources", {}))


def _find_in_resources(where: str, resources: Mapping[str, Any]) -> Iterator[Finding]:
    for name in ("Cpu", "Memory"):
        request, limit = (resources.get(f"resource{name}{kind}") for kind in ("Request", "Limit"))
        if request and limit and parse_quantity(name, request) > parse_quantity(name, limit):
            yield Finding(
                "REQUEST",
                where,
                f"it asks for {name.lower()} {request} and may use {limit}: Kubernetes refuses",
                f"Lower {name.lower()}_request, or raise {name.lower()}",
            )
    accelerator = resources.get("accelerator", {})
    resource = accelerator.get("resourceType", accelerator.get("type", ""))
    if accelerator and not _RESOURCE_NAME.fullmatch(resource):
        yield Finding(
            "GPU",
            where,
            f"its accelerator is '{resource}', which no node offers",
            "Name the resource that the nodes have, such as nvidia.com/gpu",
        )


def _find_in_importer(label: str, importer: Mapping[str, Any]) -> Iterator[Finding]:
    uri: Any = importer.get("artifactUri", {}).get("constant")
    if uri is not None and not str(uri).startswith(IMPORTABLE):
        yield Finding(
            "C12",
            f"executor '{label}'",
            f"it imports '{uri}', and Kubeflow imports from {', '.join(IMPORTABLE)} only",
            "Copy the files to the object store and import them from there",
        )


def find_in_types(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the types of artifacts.

    Args:
        spec: the pipeline spec.

    Yields:
        Types that the launcher or TFX's executor could not read.
    """
    for name, component in spec.get("components", {}).items():
        for side in ("inputDefinitions", "outputDefinitions"):
            for key, artifact in component.get(side, {}).get("artifacts", {}).items():
                yield from _find_in_type(
                    f"component '{name}': {key}", artifact.get("artifactType", {})
                )


def _find_in_type(where: str, artifact_type: Mapping[str, Any]) -> Iterator[Finding]:
    schema: Any = yaml.safe_load(artifact_type.get("instanceSchema", "")) or {}
    title = str(schema.get("title", artifact_type.get("schemaTitle", "")))
    if not _is_importable(title):
        problem = f"its type is '{title}', which the entry point could not import"
    elif not title.startswith("tfx.") and schema.get("properties"):
        problem = f"its type '{title}' declares properties, which TFX loses on the way"
    else:
        return
    fix = "Use a type of tfx.types.standard_artifacts, and custom properties for the rest"
    yield Finding("C14", where, problem, fix)


def _is_importable(title: str) -> bool:
    # TFX imports the class by its title, but for its own types, which it has a table of.
    if not _TITLE.fullmatch(title):
        return False
    module, _, name = title.partition(".")
    if module == "tfx":
        return name in _STANDARD_TYPES
    return importlib.util.find_spec(module) is not None
