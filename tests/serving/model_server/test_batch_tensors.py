"""Merging requests into a batch and splitting its outputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.batch_tensors import (
    count_rows,
    join_rows,
    merge_inputs,
    shape_bucket,
    slice_rows,
    split_outputs,
)
from serving.model_server.errors import Code, InvalidArgumentError, ServingError


def test_padding_rows_repeat_the_first_row_of_the_last_request():
    parts = [{"x": np.int32([[1, 2]])}, {"x": np.int32([[3, 4], [5, 6]])}]
    merged = merge_inputs(parts, 2)
    assert merged["x"].tolist() == [[1, 2], [3, 4], [5, 6], [3, 4], [3, 4]]


def test_a_request_without_rows_gives_none_for_padding():
    parts = [{"x": np.int32([7])}, {"x": np.zeros(0, np.int32)}]
    assert merge_inputs(parts, 1)["x"].tolist() == [7, 7]


def test_padded_columns_repeat_the_first_element():
    parts = [{"x": np.int32([[1], [2]])}, {"x": np.int32([[3, 4, 5]])}]
    assert merge_inputs(parts, 0)["x"].tolist() == [[1, 1, 1], [2, 1, 1], [3, 4, 5]]


def test_zeros_at_the_end_of_bytes_survive_padding():
    parts = [
        {"x": np.array([[b"a\0\0"]], object)},
        {"x": np.array([[b"b", b"c\0"]], object)},
    ]
    merged = merge_inputs(parts, 1)["x"]
    assert merged.tolist() == [[b"a\0\0", b"a\0\0"], [b"b", b"c\0"], [b"b", b"c\0"]]


def test_one_full_request_is_not_copied():
    inputs = {"x": np.int32([1])}
    assert merge_inputs([inputs], 0) is inputs


def test_inputs_are_matched_by_name_not_by_place():
    parts = [{"a": np.int32([1]), "b": np.int32([2])}, {"b": np.int32([20]), "a": np.int32([10])}]
    merged = merge_inputs(parts, 0)
    assert {alias: array.tolist() for alias, array in merged.items()} == {
        "a": [1, 10],
        "b": [2, 20],
    }
    assert shape_bucket(parts[0], can_pad_columns=False) == shape_bucket(
        parts[1], can_pad_columns=False
    )


@pytest.mark.parametrize(
    ("first", "second", "share", "share_with_padding"),
    [
        ((1, 2), (5, 2), True, True),
        ((1, 2), (1, 3), False, True),
        ((1, 2), (1, 2, 1), False, False),
        ((1, 2), (1, 0), False, False),
        ((0, 2), (1, 2), True, False),
    ],
)
def test_shapes_that_share_a_batch(first, second, share, share_with_padding):
    def buckets(can_pad):
        return [
            shape_bucket({"x": np.zeros(shape)}, can_pad_columns=can_pad)
            for shape in (first, second)
        ]

    assert (len(set(buckets(False))) == 1) is share
    assert (len(set(buckets(True))) == 1) is share_with_padding


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "Batching Run() must have at least one input tensor"),
        (
            {"x": np.float32(1)},
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            {"a": np.zeros(1), "b": np.zeros(2)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
    ],
)
def test_requests_without_one_batch_dimension(inputs, message):
    with pytest.raises(InvalidArgumentError) as caught:
        count_rows(inputs)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(1), "Batched output tensor has 0 dimensions (output 'y')"),
        (np.zeros(2), "does not equal the sum of the 0th dimension sizes of the input tensors"),
    ],
)
def test_outputs_without_the_batch_dimension(array, message):
    with pytest.raises(ServingError) as caught:
        split_outputs({"y": array}, [1, 1], 1)
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert message in caught.value.message


def test_padding_is_not_part_of_an_answer():
    first, second = split_outputs({"y": np.arange(5)}, [1, 2], 2)
    assert first["y"].tolist() == [0]
    assert second["y"].tolist() == [1, 2]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_slicing_and_joining_are_inverse(sizes):
    rows = np.arange(sum(sizes) * 2).reshape(-1, 2)
    np.testing.assert_array_equal(join_rows(slice_rows({"x": rows}, sizes))["x"], rows)


def test_answers_of_different_shapes_cannot_be_joined():
    with pytest.raises(InvalidArgumentError, match="the request was split, and its answers have"):
        join_rows([{"y": np.zeros((1, 2))}, {"y": np.zeros((1, 3))}])
