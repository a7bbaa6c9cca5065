"""The list of models over time: applied at start, then reloaded by RPC or by polling a file."""

import logging
import threading

from configs.errors import PipelineError
from serving.model_server.config import ModelConfigs, models_from_proto, read_config_file
from serving.model_server.flags import ServerFlags
from serving.model_server.labels import check_labels
from serving.model_server.manager import Manager
from serving.model_server.registry import Registry

logger = logging.getLogger("loupe.model_server")


class Deployment:
    """Applies configs, one at a time."""

    def __init__(self, flags: ServerFlags, manager: Manager, registry: Registry) -> None:
        self._flags = flags
        self._manager = manager
        self._registry = registry
        self._lock = threading.Lock()
        self._configs: ModelConfigs = {}

    def start(self, configs: ModelConfigs) -> None:
        """Apply the first config and wait until every model answers; blocks.

        Labels are applied once the models are loaded, so a first config may have both.

        Args:
            configs: the models by name.

        Raises:
            ServingError: a model whose versions all failed, or a label without its version.
        """
        with self._lock:
            self._manager.set_models(configs)
            self._manager.wait_until_settled(set(configs))
            self._set_labels(configs)
            self._configs = configs

    def reload(self, configs: ModelConfigs) -> None:
        """Replace the config and wait until the models that are new answer; blocks.

        Args:
            configs: the models by name; those left out are unloaded.

        Raises:
            ServingError: a label without its version (nothing is changed then), or a new model
                whose versions all failed.
        """
        with self._lock:
            self._set_labels(configs)
            new_names = set(configs).difference(self._configs)
            self._configs = configs
            self._manager.set_models(configs)
        # Without the lock: a model whose folder is missing must not hold up the next reload.
        self._manager.wait_until_settled(new_names)

    def is_configured(self, name: str) -> bool:
        """Tell whether the config in force lists a model.

        Args:
            name: any text.

        Returns:
            True when it does; whether a version is loaded does not matter.
        """
        return name in self._configs

    def reload_from_file(self) -> None:
        """Read the config file again and apply it when it says something new; blocks.

        A file that cannot be used is reported and leaves everything as it is.
        """
        try:
            configs = models_from_proto(read_config_file(self._flags.model_config_file))
            if configs != self._configs:
                self.reload(configs)
        except PipelineError as error:
            logger.error("config file not applied: %s", error)

    def _set_labels(self, configs: ModelConfigs) -> None:
        allowed = self._flags.allow_version_labels_for_unavailable_models
        labels = check_labels(configs, self._manager, self._registry, allow_unavailable=allowed)
        self._registry.set_labels(labels)
