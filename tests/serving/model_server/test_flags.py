"""The command line of the model server."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from serving.model_server.flags import ServerFlags, parse_flags, usage

BASE = "--model_base_path=/m"


def test_values_and_bare_bools():
    parsed = parse_flags([BASE, "--port=9", "--enable_grpc_healthcheck_service", "--port=10"])
    assert parsed.flags.port == 10
    assert parsed.flags.enable_grpc_healthcheck_service
    assert not parse_flags([BASE, "--enable_model_warmup=false"]).flags.enable_model_warmup
    assert parse_flags([BASE, "--per_process_gpu_memory_fraction=0.5"]).flags == ServerFlags(
        model_base_path="/m", per_process_gpu_memory_fraction=0.5
    )


@given(st.text())
def test_text_values_arrive_as_they_are(text):
    assert parse_flags([BASE, f"--model_name={text}"]).flags.model_name == text


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_numbers_arrive_as_they_are(number):
    parsed = parse_flags([BASE, f"--load_retry_interval_micros={number}"])
    assert parsed.flags.load_retry_interval_micros == number


def test_unknown_arguments_are_kept_apart():
    assert parse_flags([BASE, "--prot=1", "x", "-port=1"]).unknown == ("--prot=1", "x", "-port=1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port=x"], "--port is 'x', expected a number."),
        (["--port=1.5"], "--port is '1.5', expected a number."),
        (["--port"], "--port has no value, expected --port=value."),
        (["--port=70000"], "--port is 70000, expected 0 to 65535."),
        (["--rest_api_port=-1"], "--rest_api_port is -1, expected 0 to 65535."),
        (["--max_num_load_retries=9223372036854775808"], "expected a 64-bit number."),
        (["--enable_model_warmup=1"], "--enable_model_warmup is '1', expected true or false."),
        (["--port=0"], "--port is 0 and --grpc_socket_path is empty. Give one of them."),
        (["--grace_period_seconds=-1"], "--grace_period_seconds is -1.0"),
        (["--max_image_pixels=-1"], "--max_image_pixels is -1, expected at least 0 (no limit)."),
        (
            [f"--tensorflow_{kind}_parallelism=1" for kind in ("session", "intra_op", "inter_op")],
            "are all set. Give the first, or the other two.",
        ),
        (
            ["--batching_parameters_file=f"],
            "--batching_parameters_file is set without --enable_batching. Add that flag",
        ),
        (
            ["--enable_per_model_batching_parameters"],
            "--enable_per_model_batching_parameters is set without --enable_batching.",
        ),
    ],
)
def test_bad_values(arguments, message):
    with pytest.raises(ConfigError) as caught:
        parse_flags([BASE, *arguments])
    assert message in str(caught.value)


def test_models_are_needed():
    with pytest.raises(ConfigError, match="both --model_base_path and --model_config_file are"):
        parse_flags([])


REFUSED = [f for f in dataclasses.fields(ServerFlags) if f.metadata["refused"]]
OTHER_VALUES = {bool: "true", int: "3", str: "x"}


@pytest.mark.parametrize("field", REFUSED, ids=lambda field: field.name)
def test_flags_that_cannot_be_honoured_take_only_their_default(field):
    with pytest.raises(ConfigError, match=f"--{field.name} cannot be honoured: "):
        parse_flags([BASE, f"--{field.name}={OTHER_VALUES[field.type]}"])
    default = str(field.default).lower() if field.type is bool else field.default
    assert parse_flags([BASE, f"--{field.name}={default}"]).flags == ServerFlags(
        model_base_path="/m"
    )


def test_usage_names_every_flag():
    assert all(f"--{field.name}=" in usage() for field in dataclasses.fields(ServerFlags))
    assert "[refused: only SavedModels are served]" in usage()
