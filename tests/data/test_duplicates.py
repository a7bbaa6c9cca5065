import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from data.duplicates import ImageRecord, find_duplicates
from schema.features import Split

TRAIN, VALIDATION, TEST = Split


def record(source, split=TRAIN, *, sha256=None, dhash=0, label="mug"):
    return ImageRecord(source, label, split, sha256 or source, dhash)


def test_copies_are_counted_within_and_across_splits():
    records = [
        record("a", TRAIN, sha256="1", dhash=0),
        record("b", TRAIN, sha256="1", dhash=0),
        record("c", TEST, sha256="1", dhash=0),
        record("d", TRAIN, sha256="2", dhash=0xFF),
        record("e", TRAIN, sha256="2", dhash=0xFF, label="hat"),
        record("f", TEST, sha256="3", dhash=0xFFFF00),
    ]
    report = find_duplicates(records, near_bits=2)
    assert (report.within_splits, report.across_splits, report.conflicting_labels) == (2, 1, 1)
    assert report.across_examples == (("a", "c"),)
    assert report.conflicting_examples == (("d", "e"),)
    assert report.near_across_splits == 0


def test_near_copies_count_only_across_splits():
    records = [
        record("a", TRAIN, dhash=0b0),
        record("b", TRAIN, dhash=0b1),
        record("c", TEST, dhash=0b110),
        record("d", TEST, dhash=1 << 40 | 0b111000),
    ]
    report = find_duplicates(records, near_bits=2)
    assert report.near_across_splits == 1
    assert report.near_examples == (("c", "a"),)


def test_examples_are_few():
    records = [record(f"{i}", TRAIN if i % 2 else TEST, dhash=i // 2 << 9) for i in range(100)]
    report = find_duplicates(records, near_bits=0)
    assert (report.near_across_splits, len(report.near_examples)) == (50, 5)


def test_nothing_is_found_in_nothing():
    assert find_duplicates([], near_bits=2).near_across_splits == 0


def test_a_distance_out_of_range_is_an_error():
    with pytest.raises(ConfigError, match="near_duplicate_bits is 9, expected 0 to 8"):
        find_duplicates([], near_bits=9)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(Split), st.integers(0, 60), st.sets(st.integers(0, 63), max_size=5)
        ),
        max_size=30,
    ),
    st.integers(0, 8),
)
def test_bands_find_what_comparing_all_pairs_finds(images, near_bits):
    base = 0x0123456789ABCDEF
    records = [
        record(f"{number}", split, dhash=(base * (group % 3)) % 2**64 ^ sum(1 << b for b in flips))
        for number, (split, group, flips) in enumerate(images)
    ]
    expected = sum(
        any(
            one.split is not other.split and (one.dhash ^ other.dhash).bit_count() <= near_bits
            for other in records
        )
        for one in records
        if one.split is not TRAIN
    )
    assert find_duplicates(records, near_bits=near_bits).near_across_splits == expected


@pytest.mark.parametrize("kind", ["plain", "nearly plain"])
def test_sixty_thousand_alike_images_take_seconds(kind):
    rng = np.random.default_rng(0)
    sides = rng.choice(np.array(Split), 60_000, p=[0.8, 0.1, 0.1])
    flips = 1 << rng.integers(0, 63, (60_000, 4 if kind == "nearly plain" else 0), dtype=np.uint64)
    hashes = np.bitwise_or.reduce(flips, axis=1, initial=0).tolist()
    records = [
        record(f"{number}", Split(side), dhash=int(dhash))
        for number, (side, dhash) in enumerate(zip(sides, hashes, strict=True))
    ]
    start = time.process_time()
    report = find_duplicates(records, near_bits=2)
    assert time.process_time() - start < 10
    assert report.near_across_splits > 10_000
