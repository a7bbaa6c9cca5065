import contextlib
import json
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from pipeline.kubeflow.run_parameters import (
    Parameter,
    data_version_of,
    parse_values,
    read_parameters,
    require_all,
)

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is slow, and no failure."""
KINDS = {
    "NUMBER_INTEGER": st.integers(-(2**53), 2**53),
    "NUMBER_DOUBLE": st.floats(allow_nan=False, allow_infinity=False),
    "BOOLEAN": st.booleans(),
    "LIST": st.lists(st.integers() | st.text()),
    "STRUCT": st.dictionaries(st.text(), st.integers()),
}


def known(kind):
    return {"x": Parameter("x", kind, is_required=True)}


@PATIENT
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_a_value_comes_back_as_it_was_written(kind, data):
    value = data.draw(KINDS[kind])
    (parsed,) = parse_values(known(kind), [f"x={json.dumps(value)}"]).values()
    assert parsed == value
    assert type(parsed) is type(value)


@PATIENT
@given(st.text())
def test_text_is_kept_letter_by_letter(text):
    assert parse_values(known("STRING"), [f"x={text}"]) == {"x": text}


@PATIENT
@given(st.sampled_from(sorted(KINDS)), st.text())
def test_any_text_becomes_a_value_that_json_can_hold_or_is_refused(kind, text):
    with contextlib.suppress(ConfigError):
        json.dumps(parse_values(known(kind), [f"x={text}"]), allow_nan=False)


@pytest.mark.parametrize("text", ["1e400", "-Infinity", "NaN"])
@pytest.mark.parametrize("kind", ["NUMBER_DOUBLE", "NUMBER_INTEGER"])
def test_numbers_that_json_has_not_are_refused(kind, text):
    with pytest.raises(ConfigError, match="expected a"):
        parse_values(known(kind), [f"x={text}"])


def test_the_server_hands_the_spec_out_alone_or_beside_its_platform():
    definitions = {"a": {"parameterType": "STRING"}, "b": {"isOptional": True}}
    definitions["c"] = {"parameterType": "NUMBER_INTEGER", "defaultValue": 0}
    spec = {"root": {"inputDefinitions": {"parameters": definitions}}}
    parameters = read_parameters(spec)
    assert read_parameters({"pipeline_spec": spec, "platform_spec": {}}) == parameters
    assert {name: each.is_required for name, each in parameters.items()} == {
        "a": True,
        "b": False,
        "c": False,
    }
    assert parameters["c"].default == 0


def test_a_parameter_that_is_missing_is_named():
    with pytest.raises(ConfigError, match="parameter x has no value.*--parameter x="):
        require_all(known("STRING"), {})


def test_a_pipeline_without_parameters_says_so():
    with pytest.raises(ConfigError, match="no parameter 'x', expected one of: none"):
        parse_values({}, ["x=1"])


def test_an_archive_has_a_fingerprint_that_changes_with_it(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/1.png", b"1")
    first = data_version_of(path)
    assert first == data_version_of(path)
    assert len(first) == 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("dog/1.png", b"1")
    assert data_version_of(path) != first
