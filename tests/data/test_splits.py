import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from data.sources import ImageFile
from data.splits import assign_split, present_splits, split_for
from schema.features import Split

SHARES = {"validation_share": 0.1, "test_share": 0.2}


def digest(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("0000", Split.TEST),
        ("3333", Split.TEST),
        ("3334", Split.VALIDATION),
        ("4ccc", Split.VALIDATION),
        ("4ccd", Split.TRAIN),
        ("ffff", Split.TRAIN),
    ],
)
def test_the_side_follows_the_documented_formula(start, expected):
    assert assign_split(start + "0" * 60, **SHARES) is expected


def test_sides_have_their_shares():
    sides = [assign_split(digest(number), **SHARES) for number in range(5000)]
    assert abs(sides.count(Split.TEST) / 5000 - 0.2) < 0.02
    assert abs(sides.count(Split.VALIDATION) / 5000 - 0.1) < 0.02


def test_shares_that_leave_no_training_are_an_error():
    with pytest.raises(ConfigError, match=r"data.test_share is 1, expected less than 1"):
        assign_split(digest(1), validation_share=0.5, test_share=0.5)


@pytest.mark.parametrize(
    ("present", "carved"),
    [
        (set(), {Split.TRAIN, Split.VALIDATION, Split.TEST}),
        ({Split.TRAIN}, {Split.TRAIN, Split.VALIDATION, Split.TEST}),
        ({Split.TRAIN, Split.TEST}, {Split.TRAIN, Split.VALIDATION}),
        ({Split.TRAIN, Split.VALIDATION}, {Split.TRAIN, Split.TEST}),
        (set(Split), {Split.TRAIN}),
    ],
)
@pytest.mark.parametrize("given_split", [Split.TRAIN, None])
def test_only_missing_sides_are_carved(given_split, present, carved):
    sides = {split_for(given_split, frozenset(present), digest(n), **SHARES) for n in range(200)}
    assert sides == carved


@given(
    st.integers(), st.sampled_from([Split.VALIDATION, Split.TEST]), st.sets(st.sampled_from(Split))
)
def test_evaluation_images_stay_where_they_were_put(number, side, present):
    assert split_for(side, frozenset(present | {side}), digest(number), **SHARES) is side


@given(st.integers())
def test_an_image_keeps_its_side_when_another_split_appears(number):
    alone = split_for(None, frozenset(), digest(number), **SHARES)
    with_test = split_for(
        Split.TRAIN, frozenset({Split.TRAIN, Split.TEST}), digest(number), **SHARES
    )
    assert with_test is (Split.TRAIN if alone is Split.TEST else alone)


def test_present_splits_are_those_of_each_span():
    files = [
        ImageFile(Path("/a"), "a", "mug", split, span)
        for split, span in ((Split.TRAIN, 1), (Split.TEST, 1), (None, 2))
    ]
    assert present_splits(files) == {1: {Split.TRAIN, Split.TEST}, 2: frozenset()}
