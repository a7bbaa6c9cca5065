"""Versions of the pipeline on the server: one per commit, uploaded whole or not at all."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_server_api import V2beta1PipelineVersion, V2beta1Run

from configs.errors import ConfigError, PipelineError
from pipeline.kubeflow.client import (
    PAGE_SIZE,
    SORT_NEWEST_FIRST,
    KubeflowClient,
    equals,
    without_prints,
)
from pipeline.kubeflow.rest import CONFLICT, NOT_FOUND, RefusedError
from pipeline.kubeflow.revision import digest_of

DESCRIPTION = "Trains an image classifier. Uploaded by loupe."
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Version:
    """A version of the pipeline that the server has.

    Attributes:
        pipeline_id: id of the pipeline.
        version_id: id of the version.
        name: its name, such as `git-0123456789ab`.
        spec: the compiled pipeline, as JSON values.
        is_new: this call uploaded it.
    """

    pipeline_id: str
    version_id: str
    name: str
    spec: Mapping[str, Any]
    is_new: bool = False


def upload_version(client: KubeflowClient, pipeline: str, name: str, file: Path) -> Version:
    """Upload a compiled file as a version, unless the server has it already.

    Args:
        client: the client.
        pipeline: name of the pipeline; it is made when there is none.
        name: name of the version.
        file: the compiled YAML file.

    Returns:
        The version.

    Raises:
        ConfigError: the server has a version of that name with other content.
        PipelineError: the server refused or did not answer; nothing is left behind.
    """
    digest = digest_of(file.read_bytes())
    pipeline_id = client.get_pipeline_id(pipeline)
    if pipeline_id:
        known = _find(client, pipeline_id, name)
        if known:
            return _require_same(known, name, digest)
        return _upload(client, pipeline_id, name, file, digest)
    pipeline_id = client.create_empty_pipeline(pipeline, DESCRIPTION)
    try:
        return _upload(client, pipeline_id, name, file, digest)
    except PipelineError:
        # A pipeline without a version can do nothing. The server deletes only such ones: when the
        # version got there and its answer was lost, this is refused, and that is right.
        with contextlib.suppress(PipelineError):
            client.delete_pipeline(pipeline_id)
        raise


def find_version(client: KubeflowClient, pipeline: str, name: str = "") -> Version:
    """Find a version of the pipeline.

    Args:
        client: the client.
        pipeline: name of the pipeline.
        name: name of the version; empty means the newest.

    Returns:
        The version.

    Raises:
        ConfigError: there is no such pipeline or version.
    """
    pipeline_id = client.get_pipeline_id(pipeline)
    if not pipeline_id:
        raise ConfigError(
            f"there is no pipeline '{pipeline}' at {client.access.endpoint}. Upload it first: "
            "loupe kubeflow upload"
        )
    if name:
        found = _find(client, pipeline_id, name)
    else:
        newest = client.list_pipeline_versions(
            pipeline_id, page_size=1, sort_by=SORT_NEWEST_FIRST
        ).pipeline_versions
        found = newest[0] if newest else None
    if found is None:
        known = [str(each.display_name) for each in list_versions(client, pipeline_id)]
        shown = ", ".join([*known[:5], *(["..."] if len(known) > 5 else [])]) or "none"
        wanted = f"version '{name}'" if name else "version"
        raise ConfigError(
            f"pipeline '{pipeline}' has no {wanted}, expected one of: {shown}. Upload it: "
            "loupe kubeflow upload"
        )
    return _to_version(found)


def list_versions(client: KubeflowClient, pipeline_id: str) -> list[V2beta1PipelineVersion]:
    """List every version of a pipeline.

    Args:
        client: the client.
        pipeline_id: id of the pipeline.

    Returns:
        Versions, newest first.
    """
    return list(
        all_pages(
            lambda token: client.list_pipeline_versions(
                pipeline_id, page_token=token, page_size=PAGE_SIZE, sort_by=SORT_NEWEST_FIRST
            ),
            "pipeline_versions",
        )
    )


def read_spec(client: KubeflowClient, run: V2beta1Run) -> Mapping[str, Any]:
    """Read what a run was compiled from.

    Args:
        client: the client.
        run: the run.

    Returns:
        The compiled pipeline; empty when the server has it no more.

    Raises:
        RefusedError: the server does not give it out.
    """
    reference = run.pipeline_version_reference
    if reference is None or not reference.pipeline_version_id:
        return run.pipeline_spec or {}
    try:
        version = client.get_pipeline_version(
            str(reference.pipeline_id), reference.pipeline_version_id
        )
    except RefusedError as error:
        if error.status != NOT_FOUND:
            raise
        return {}
    return version.pipeline_spec or {}


def all_pages(fetch: Callable[[str], Any], name: str) -> Iterator[Any]:
    """Walk through every page of a list of the API.

    Args:
        fetch: takes the token of a page, returns the page.
        name: the page's field that holds the items.

    Yields:
        The items.
    """
    token = ""
    while True:
        page = fetch(token)
        yield from getattr(page, name) or ()
        token = page.next_page_token or ""
        if not token:
            return


def _upload(
    client: KubeflowClient, pipeline_id: str, name: str, file: Path, digest: str
) -> Version:
    try:
        with without_prints():
            made = client.upload_pipeline_version(
                str(file), name, pipeline_id=pipeline_id, description=f"sha256:{digest}"
            )
    except RefusedError as error:
        if error.status != CONFLICT:
            raise
        # Somebody uploaded the same commit in this moment.
        known = _find(client, pipeline_id, name)
        if known is None:
            raise
        return _require_same(known, name, digest)
    return _to_version(made, is_new=True)


def _find(client: KubeflowClient, pipeline_id: str, name: str) -> V2beta1PipelineVersion | None:
    answer = client.list_pipeline_versions(pipeline_id, filter=equals("display_name", name))
    return answer.pipeline_versions[0] if answer.pipeline_versions else None


def _require_same(known: V2beta1PipelineVersion, name: str, digest: str) -> Version:
    match = _DIGEST.search(known.description or "")
    if match is None or match[1] != digest:
        raise ConfigError(
            f"version '{name}' is there already with other content: it was compiled with other "
            "settings or by other code. Commit the change, or give this one a name of its own "
            "with --version."
        )
    return _to_version(known)


def _to_version(found: V2beta1PipelineVersion, *, is_new: bool = False) -> Version:
    return Version(
        pipeline_id=str(found.pipeline_id),
        version_id=str(found.pipeline_version_id),
        name=str(found.display_name),
        spec=found.pipeline_spec or {},
        is_new=is_new,
    )
