"""Manifests as `kubectl kustomize` renders them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

KUBERNETES = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
OLDEST_KUBECTL = (1, 27)
"""The first whose kustomize knows all that the manifests use; Debian 12 has 1.20."""


EXAMPLES = [KUBERNETES.parent / "ci" / f"{name}.yaml" for name in ("new-data", "load-images")]


@pytest.fixture(scope="session")
def kubectl():
    """The program; skips where there is none that is new enough."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed: `make packages` brings it")
    command = [program, "version", "--client", "--output=json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    version = (
        int(told["clientVersion"]["major"]),
        int(told["clientVersion"]["minor"].rstrip("+")),
    )
    if version < OLDEST_KUBECTL:
        pytest.skip(f"kubectl is {version}, the manifests need {OLDEST_KUBECTL} or newer")
    return program


@pytest.fixture(scope="session")
def render(kubectl, tmp_path_factory):
    """Function of a folder below deploy/kubernetes, and of components, to resources."""
    known = {}

    def render(folder, *components):
        if (folder, components) not in known:
            place = KUBERNETES / folder
            if components:
                place = _own_overlay(tmp_path_factory.mktemp("overlay"), folder, components)
            done = subprocess.run(
                [kubectl, "kustomize", place], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""  # a field that kustomize will not know much longer
            known[folder, components] = done.stdout
        return list(yaml.safe_load_all(known[folder, components]))

    return render


@pytest.fixture(scope="session")
def examples():
    """The resources of the examples beside the kustomizations."""
    return [d for path in EXAMPLES for d in yaml.safe_load_all(path.read_text())]


def _own_overlay(place, folder, components):
    def relative(target):
        return os.path.relpath(KUBERNETES / target, place)

    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [relative(folder)],
        "components": [relative(f"components/{name}") for name in components],
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return place
