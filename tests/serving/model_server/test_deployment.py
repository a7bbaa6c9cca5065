"""Lists of models over time, with real loads, in this process."""

import dataclasses
import threading
import time

import numpy as np
import pytest

from serving.model_server.config import models_from_flags
from serving.model_server.deployment import Deployment
from serving.model_server.errors import Code, ServingError
from serving.model_server.flags import ServerFlags
from serving.model_server.lifecycle import State
from serving.model_server.loader import load_options, load_servable
from serving.model_server.manager import Manager
from serving.model_server.registry import ModelSelector, Registry


@dataclasses.dataclass
class Deployed:
    """A deployment and what it is made of."""

    flags: ServerFlags
    registry: Registry
    manager: Manager
    deployment: Deployment

    def start(self):
        self.deployment.start(models_from_flags(self.flags))

    def answer(self, name, **selector):
        with self.registry.lease(ModelSelector(name, **selector)) as servable:
            signature = servable.signature("")
            outputs = signature.run({"x": np.float32([0])}, signature.choose_outputs(()), 0)
            return outputs["y"][0]


@pytest.fixture
def deploy(tmp_path):
    """Make a deployment from config text; its manager runs until the test ends."""
    running = []

    def deploy(text, **flags):
        file = tmp_path / "models.config"
        file.write_text(text)
        flags = ServerFlags(**{"max_num_load_retries": 0, "model_config_file": str(file)} | flags)
        options, registry = load_options(flags), Registry()
        manager = Manager(flags, registry, lambda *key: load_servable(*key, options))
        thread = threading.Thread(target=manager.run)
        thread.start()
        running.append((manager, thread))
        return Deployed(flags, registry, manager, Deployment(flags, manager, registry))

    yield deploy
    for manager, thread in running:
        manager.stop()
        thread.join()


@pytest.fixture
def entry(tmp_path, push):
    """Push versions of a model and write its config entry."""

    def entry(name, *versions, labels=(), policy="all {}"):
        (tmp_path / name).mkdir(exist_ok=True)
        for version in versions:
            push(tmp_path / name, version)
        text = " ".join(
            f'version_labels {{ key: "{label}" value: {version} }}' for label, version in labels
        )
        return (
            f'model_config_list {{ config {{ name: "{name}" base_path: "{tmp_path / name}" '
            f'model_platform: "tensorflow" model_version_policy {{ {policy} }} {text} }} }}'
        )

    return entry


def test_labels_and_versions_may_come_in_the_first_config(deploy, entry):
    deployed = deploy(entry("m", 1, 2, labels=[("stable", 1), ("canary", 2)]))
    deployed.start()
    assert deployed.answer("m", label="stable") == 1
    assert deployed.answer("m", label="canary") == 2


def test_a_first_config_with_a_label_for_nothing_fails_unless_allowed(deploy, entry):
    text = entry("m", 1, labels=[("next", 2)])
    with pytest.raises(ServingError, match="assign label to version 2 of model m") as caught:
        deploy(text).start()
    assert caught.value.code is Code.FAILED_PRECONDITION
    allowed = deploy(text, allow_version_labels_for_unavailable_models=True)
    allowed.start()
    with pytest.raises(ServingError, match=r"Servable not found for request: Specific\(m, 2\)"):
        allowed.answer("m", label="next")


def test_an_allowed_label_still_does_not_move_to_nothing(deploy, entry, tmp_path):
    text = entry("m", 1, labels=[("stable", 1)])
    deployed = deploy(text, allow_version_labels_for_unavailable_models=True)
    deployed.start()
    (tmp_path / "models.config").write_text(entry("m", labels=[("stable", 2)]))
    deployed.deployment.reload_from_file()
    assert deployed.answer("m", label="stable") == 1


def test_the_config_file_is_applied_again_when_it_changes(deploy, entry, tmp_path):
    deployed = deploy(entry("m", 1, 2))
    deployed.start()
    (tmp_path / "models.config").write_text(entry("m", policy="specific { versions: 1 }"))
    deployed.deployment.reload_from_file()
    wait_for(deployed, "m", {1: State.AVAILABLE, 2: State.END})
    (tmp_path / "models.config").write_text(entry("n", 3))
    deployed.deployment.reload_from_file()
    assert deployed.answer("n") == 3
    wait_for(deployed, "m", {1: State.END, 2: State.END})


def test_a_config_file_that_breaks_changes_nothing(deploy, entry, tmp_path, caplog):
    deployed = deploy(entry("m", 1))
    deployed.start()
    (tmp_path / "models.config").write_text("model_config_list { config { name: 1 } }")
    deployed.deployment.reload_from_file()
    assert "config file not applied: Error parsing text-format" in caplog.text
    assert deployed.answer("m") == 1


def test_a_model_without_versions_that_load_ends_the_start(deploy, entry, tmp_path):
    deployed = deploy(entry("m"))
    (tmp_path / "m" / "4").mkdir()
    with pytest.raises(ServingError) as caught:
        deployed.start()
    assert caught.value.message.startswith(
        "1 servable(s) did not become available: {{{name: m version: 4} due to error: "
        "NOT_FOUND: Could not find SavedModel"
    )


def test_failed_loads_are_tried_as_often_as_told(deploy, entry, tmp_path, caplog):
    deployed = deploy(entry("m"), load_retry_interval_micros=1000, max_num_load_retries=2)
    (tmp_path / "m" / "4").mkdir()
    with pytest.raises(ServingError, match="version: 4"):
        deployed.start()
    attempts = [record.args[2:4] for record in caplog.records if "attempt" in record.msg]
    assert attempts == [(1, 3), (2, 3), (3, 3)]
    assert deployed.manager.statuses("m")[0].state is State.END


def wait_for(deployed, name, expected):
    def reached():
        return {s.version: s.state for s in deployed.manager.statuses(name)} == expected

    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)
