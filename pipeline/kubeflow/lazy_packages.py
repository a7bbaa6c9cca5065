"""Packages whose `__init__` imports all they have, made to wait until somebody asks for it."""

import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

PACKAGES = ("tensorflow_model_analysis", "tfx.components")
"""In the order in which they may run: TFX's adds the names to TFMA that its new versions lack.

Nearly every module of TFX is below the second, whose `__init__` imports all sixteen components; and
TFX's lists of parameters import the first for the name of one type. Together that is half of what a
container task imports and does not use."""

_lock = threading.RLock()


class _WaitingPackage(ModuleType):
    """A package whose submodules can be imported before its own code has run."""

    is_running = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"package '{self.__name__}' has no attribute '{name}'")
        with _lock:  # other threads wait until the code has run
            submodule = f"{self.__name__}.{name}"
            if importlib.util.find_spec(submodule) is not None:
                return importlib.import_module(submodule)
            if self.is_running:
                raise AttributeError(f"package '{self.__name__}' has no attribute '{name}' yet")
            _run_packages()
        return getattr(self, name)


def postpone_packages() -> None:
    """Let each package's own code run when somebody asks for a name that only this code makes.

    For a process that has not imported them yet; of a package that it has imported nothing changes.
    Installed files stay as they are.
    """
    for name in PACKAGES:
        if name in sys.modules:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None:
            continue
        package = importlib.util.module_from_spec(spec)
        package.__class__ = _WaitingPackage
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:  # looking for a child has imported it
            setattr(sys.modules[parent], child, package)


def _run_packages() -> None:
    for name in PACKAGES:
        package = sys.modules[name]
        if isinstance(package, _WaitingPackage) and not package.is_running:
            package.is_running = True
            loader = package.__spec__ and package.__spec__.loader
            if loader is not None:
                loader.exec_module(package)
            package.__class__ = ModuleType
