"""Text BatchingParameters, by flag and by model."""

import os

import pytest

from serving.model_server.batching_parameters import (
    PER_MODEL_FILENAME,
    BatchingParameters,
    batching_from_flags,
    batching_of_version,
    read_batching_parameters,
)
from serving.model_server.errors import InvalidArgumentError
from serving.model_server.flags import ServerFlags

EVERYTHING = """
# A comment, as text protos have them.
max_batch_size { value: 128 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 3 }
thread_pool_name { value: "images" }
allowed_batch_sizes: 32
allowed_batch_sizes: [64, 128]
pad_variable_length_inputs: true
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 64 }
"""


@pytest.fixture
def parse(tmp_path):
    def parse(text):
        file = tmp_path / "parameters"
        file.write_text(text)
        return read_batching_parameters(file)

    return parse


def test_every_field_is_read(parse):
    assert parse(EVERYTHING) == BatchingParameters(
        max_batch_size=128,
        batch_timeout_micros=2000,
        max_enqueued_batches=100,
        num_batch_threads=3,
        thread_pool_name="images",
        allowed_batch_sizes=(32, 64, 128),
        pad_variable_length_inputs=True,
        enable_large_batch_splitting=True,
        max_execution_batch_size=64,
    )


def test_defaults_are_those_of_the_cpp_scheduler(parse):
    parameters = parse("")
    assert parameters == BatchingParameters()
    assert (parameters.max_batch_size, parameters.max_enqueued_batches) == (1000, 10)
    assert parameters.batch_timeout_micros == 0
    assert parameters.num_batch_threads == len(os.sched_getaffinity(0))
    assert parameters.thread_pool_name == "batch_threads"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0. Correct"),
        ("max_batch_size {}", "max_batch_size must be positive; was 0."),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0."),
        ("max_enqueued_batches { value: -1 }", "max_enqueued_batches must be positive; was -1."),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: 2",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 2; "
            "expected 4",
        ),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: [3, 2, 4]",
            "allowed_batch_sizes entries must be positive and monotonically increasing; were 3, 2,",
        ),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: [0, 4]",
            "allowed_batch_sizes entries must be positive and",
        ),
        (
            "max_batch_size { value: 4 } max_execution_batch_size { value: 8 }",
            "max_execution_batch_size is 8, expected at most max_batch_size, 4.",
        ),
        ("max_batch_size: 4", "Error parsing text-format tensorflow.serving.BatchingParameters: 1"),
        ("no_such_field: 4", 'has no field named "no_such_field"'),
    ],
)
def test_what_cannot_be_honoured_is_refused(parse, text, message, tmp_path):
    with pytest.raises(InvalidArgumentError) as caught:
        parse(text)
    assert message in caught.value.message
    assert str(tmp_path / "parameters") in caught.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"cannot be read: .*No such file"):
        read_batching_parameters(tmp_path / "none")


def test_a_limit_without_splitting_is_told_to_have_no_effect(parse, caplog):
    assert parse("max_execution_batch_size { value: 8 }").rows_per_batch == 1000
    assert "has no effect without enable_large_batch_splitting" in caplog.text


@pytest.mark.parametrize(
    ("num_rows", "num_padding_rows"), [(0, 0), (1, 1), (2, 0), (3, 5), (8, 0), (9, 7)]
)
def test_batches_are_padded_to_the_next_allowed_size(num_rows, num_padding_rows):
    parameters = BatchingParameters(max_batch_size=16, allowed_batch_sizes=(2, 8, 16))
    assert parameters.count_padding_rows(num_rows) == num_padding_rows
    assert BatchingParameters().count_padding_rows(num_rows) == 0


def test_flags_say_whether_and_how(tmp_path):
    file = tmp_path / "parameters"
    file.write_text("max_batch_size { value: 7 }")

    def read(**flags):
        return batching_from_flags(ServerFlags(model_base_path="/m", **flags))

    assert read() is None
    assert read(enable_batching=True) == BatchingParameters(
        thread_pool_name="model_server_batch_threads"
    )
    parameters = read(enable_batching=True, batching_parameters_file=str(file))
    assert parameters == BatchingParameters(max_batch_size=7)


def test_a_model_may_bring_its_own(tmp_path, caplog):
    common = BatchingParameters(max_batch_size=7)
    assert batching_of_version(tmp_path, common, is_per_model=True) is None
    (tmp_path / PER_MODEL_FILENAME).write_text(
        "max_batch_size { value: 9 } num_batch_threads { value: 77 }"
    )
    assert batching_of_version(tmp_path, common, is_per_model=False) is common
    assert batching_of_version(tmp_path, None, is_per_model=True) is None
    own = batching_of_version(tmp_path, common, is_per_model=True)
    assert own is not None
    assert own.max_batch_size == 9
    assert "num_batch_threads has no effect here; all models share the threads" in caplog.text
