"""The versions that answer now: published by the manager, leased by requests, on any thread."""

import contextlib
import dataclasses
from collections.abc import Generator, Mapping
from types import MappingProxyType

from serving.model_server.errors import Code, InvalidArgumentError, ServingError
from serving.model_server.servable import Servable


@dataclasses.dataclass(frozen=True)
class ModelSelector:
    """Which version a request wants; at most one of version and label is set.

    Attributes:
        name: the model.
        version: a version; None for the highest one.
        label: a label of the config.
    """

    name: str
    version: int | None = None
    label: str | None = None

    def describe(self) -> str:
        """Write the selector as TF Serving's messages do.

        Returns:
            `Latest(name)` or `Specific(name, version)`.
        """
        if self.version is None:
            return f"Latest({self.name})"
        return f"Specific({self.name}, {self.version})"


class Registry:
    """Served versions and labels.

    Writers (the manager alone) replace whole mappings; readers take one look at one mapping. So
    a lookup takes no lock, and never sees half a change.
    """

    def __init__(self) -> None:
        self._served: Mapping[str, Mapping[int, Servable]] = MappingProxyType({})
        self._labels: Mapping[str, Mapping[str, int]] = MappingProxyType({})

    def publish(self, servable: Servable) -> None:
        """Send requests to a version.

        Args:
            servable: the version; it becomes the default when it is the highest.
        """
        self._replace(servable.name, {**self._versions(servable.name), servable.version: servable})

    def withdraw(self, servable: Servable) -> None:
        """Send no more requests to a version; those in flight finish.

        Args:
            servable: the version.
        """
        versions = dict(self._versions(servable.name))
        versions.pop(servable.version, None)
        self._replace(servable.name, versions)
        servable.retire()

    def set_labels(self, labels: Mapping[str, Mapping[str, int]]) -> None:
        """Replace all labels.

        Args:
            labels: model to label to version.
        """
        self._labels = MappingProxyType({name: dict(entry) for name, entry in labels.items()})

    def label_version(self, name: str, label: str) -> int | None:
        """Find what a label stands for.

        Args:
            name: the model.
            label: the label.

        Returns:
            The version, or None when there is no such label.
        """
        return self._labels.get(name, {}).get(label)

    @contextlib.contextmanager
    def lease(self, selector: ModelSelector) -> Generator[Servable]:
        """Hold a version for the time of a request.

        Args:
            selector: which version.

        Yields:
            The version; it is not freed before the block ends.

        Raises:
            ServingError: NOT_FOUND for a model or version that is not served, INVALID_ARGUMENT
                for an empty name or an unknown label.
        """
        servable = self._find(selector)
        while not servable.try_lease():
            # It was withdrawn between the lookup and the lease; what replaced it is published.
            servable = self._find(selector)
        try:
            yield servable
        finally:
            servable.release()

    def _find(self, selector: ModelSelector) -> Servable:
        if not selector.name:
            raise InvalidArgumentError("ModelSpec has no name specified.")
        if selector.label is not None:
            version = self.label_version(selector.name, selector.label)
            if version is None:
                raise InvalidArgumentError(f"Unrecognized servable version label: {selector.label}")
            selector = ModelSelector(selector.name, version)
        versions = self._versions(selector.name)
        wanted = max(versions, default=None) if selector.version is None else selector.version
        if wanted is None or wanted not in versions:
            raise ServingError(
                Code.NOT_FOUND, f"Servable not found for request: {selector.describe()}"
            )
        return versions[wanted]

    def _versions(self, name: str) -> Mapping[int, Servable]:
        return self._served.get(name, {})

    def _replace(self, name: str, versions: Mapping[int, Servable]) -> None:
        others = {key: value for key, value in self._served.items() if key != name}
        self._served = MappingProxyType({**others, name: versions} if versions else others)
