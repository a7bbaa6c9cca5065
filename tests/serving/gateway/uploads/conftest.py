"""The corpus of hostile pictures, and ordinary ones."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _load_hostile_images():
    name = "gateway_hostile_images"
    if name not in sys.modules:
        path = Path(__file__).resolve().parent.parent / "hostile_images.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


HOSTILE = _load_hostile_images()
CORPUS = {hostile.title: hostile for hostile in HOSTILE.make_corpus()}


def pytest_generate_tests(metafunc):
    """Run a test that asks for `hostile` once per picture of the corpus."""
    if "hostile" in metafunc.fixturenames:
        metafunc.parametrize("hostile", CORPUS.values(), ids=list(CORPUS))


@pytest.fixture(scope="session")
def makers():
    """The module that makes pictures, to make more of them."""
    return HOSTILE


@pytest.fixture(scope="session")
def photo_bytes(makers):
    """Bytes of a JPEG of 90x70 pixels."""
    return makers.encode("jpeg")
