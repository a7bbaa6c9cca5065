"""Compiled pipelines, made once: importing TFX and compiling take ten seconds."""

import copy

import pytest

from configs.load import load_config
from pipeline.kubeflow.compile import compile_pipeline


@pytest.fixture(scope="session")
def compile_named():
    """Function of a named run and settings to what is compiled from it."""

    def compile_(name="kubeflow", *overrides):
        return compile_pipeline(load_config(name, overrides))

    return compile_


@pytest.fixture(scope="session")
def compiled_once(compile_named):
    return compile_named()


@pytest.fixture
def compiled(compiled_once):
    """The pipeline of configs/kubeflow.yaml; tests may change it."""
    return copy.deepcopy(compiled_once)
