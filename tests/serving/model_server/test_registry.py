"""Lookups and leases."""

import pytest

from serving.model_server.errors import InvalidArgumentError, ServingError
from serving.model_server.registry import ModelSelector, Registry
from serving.model_server.servable import Servable


@pytest.fixture
def registry():
    registry = Registry()
    for version in (1, 3, 2):
        registry.publish(Servable("m", version, {}, {}, lambda: None))
    registry.set_labels({"m": {"stable": 1, "gone": 7}})
    return registry


def find(registry, **selector):
    with registry.lease(ModelSelector("m", **selector)) as servable:
        return servable.version


def test_the_highest_version_is_the_default(registry):
    assert find(registry) == 3
    assert find(registry, version=2) == 2
    assert find(registry, label="stable") == 1


@pytest.mark.parametrize(
    ("selector", "error", "message"),
    [
        (ModelSelector(""), InvalidArgumentError, "ModelSpec has no name specified."),
        (ModelSelector("n"), ServingError, "Servable not found for request: Latest(n)"),
        (ModelSelector("m", 9), ServingError, "Servable not found for request: Specific(m, 9)"),
        (
            ModelSelector("m", label="gone"),
            ServingError,
            "Servable not found for request: Specific(m, 7)",
        ),
        (
            ModelSelector("m", label="x"),
            InvalidArgumentError,
            "Unrecognized servable version label: x",
        ),
    ],
)
def test_lookups_that_fail(registry, selector, error, message):
    with pytest.raises(error) as caught, registry.lease(selector):
        pass
    assert str(caught.value) == message


def test_a_withdrawn_version_lives_until_its_lease_ends(registry):
    with registry.lease(ModelSelector("m")) as servable:
        registry.withdraw(servable)
        assert find(registry) == 2
        assert not servable.try_lease()
        assert not servable.is_idle()
        servable.extend_lease()
    assert not servable.is_idle()
    servable.release()
    assert servable.is_idle()
