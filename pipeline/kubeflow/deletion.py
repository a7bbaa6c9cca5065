"""Finding what shall be deleted, and saying what goes with it."""

from collections.abc import Callable
from dataclasses import dataclass

from configs.errors import ConfigError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.runs import FINAL_STATES, find_run
from pipeline.kubeflow.schedules import active_runs, find_schedules
from pipeline.kubeflow.versions import find_version


@dataclass(frozen=True)
class Deletion:
    """Something that may be deleted.

    Attributes:
        text: what would go, in a sentence.
        delete: deletes it.
    """

    text: str
    delete: Callable[[], object]


def find_deletion(client: KubeflowClient, kind: str, name: str, pipeline: str) -> Deletion:
    """Find what shall be deleted.

    Args:
        client: the client.
        kind: `run`, `schedule` or `version`.
        name: its name; of a run also its id.
        pipeline: name of the pipeline.

    Returns:
        What would go, and how.

    Raises:
        ConfigError: there is no such thing.
    """
    find = {"run": _find_run, "schedule": _find_schedule, "version": _find_version}[kind]
    return find(client, name, pipeline)


def _find_run(client: KubeflowClient, name: str, pipeline: str) -> Deletion:
    del pipeline
    run = find_run(client, name)
    state = str(run.state or "PENDING")
    ends = "" if state in FINAL_STATES else " It has not ended, and its pods go with it."
    return Deletion(
        f"This deletes run '{run.display_name}' ({state.lower()}).{ends}",
        lambda: client.delete_run(str(run.run_id)),
    )


def _find_schedule(client: KubeflowClient, name: str, pipeline: str) -> Deletion:
    del pipeline
    found = find_schedules(client, name)
    if not found:
        raise ConfigError(
            f"there is no schedule called '{name}' at {client.access.endpoint}. Check the name."
        )
    active = active_runs(client, found)
    ends = f" Its run '{active[0]}' has not ended and goes with it." if active else ""

    def delete() -> None:
        for each in found:
            client.delete_recurring_run(str(each.recurring_run_id))

    return Deletion(f"This deletes schedule '{name}'.{ends}", delete)


def _find_version(client: KubeflowClient, name: str, pipeline: str) -> Deletion:
    found = find_version(client, pipeline, name)
    return Deletion(
        f"This deletes version '{found.name}' of pipeline '{pipeline}'. Schedules of it would "
        "fail from then on.",
        lambda: client.delete_pipeline_version(found.pipeline_id, found.version_id),
    )
