"""Broken and hostile pictures, through the whole gateway and a real model."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _load_corpus():
    name = "gateway_hostile_images"  # as the tests of uploads do: made once
    if name not in sys.modules:
        path = Path(__file__).with_name("hostile_images.py")
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].make_corpus()


CORPUS = {hostile.title: hostile for hostile in _load_corpus()}


@pytest.fixture(scope="module")
def careful(make_gateway, model_server, tmp_path_factory):
    """A gateway that keeps a picture of every answer for review."""
    rules = tmp_path_factory.mktemp("rules") / "rules.yaml"
    rules.write_text("review: {min_probability: 1.0}\n")
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS=model_server.grpc_address,
        MODEL__TIMEOUT_SECONDS="10",
        DEADLINE_SECONDS="20",
        RULES_FILE=str(rules),
        THROTTLE__KEY_BURST="100000",
        THROTTLE__TOTAL_BURST="100000",
        UNSAFE_NO_AUTH="true",
    )
    gateway.start()
    with gateway.client() as client:
        yield client
    assert gateway.stop() == 0


@pytest.mark.parametrize("title", CORPUS)
def test_hostile_pictures_are_answered_or_refused_with_reasons(careful, title):
    hostile = CORPUS[title]
    files = {"image": (hostile.name, hostile.data, hostile.content_type)}
    response = careful.post("/v1/predict", files=files)
    answer = response.json()
    if hostile.is_readable:
        assert response.status_code == 200, response.text
        assert answer["needs_review"]
    else:
        assert response.status_code == hostile.status, response.text
        assert hostile.words in answer["error"]
    assert careful.get("/v1/health/ready").json()["breaker"] == "closed"
