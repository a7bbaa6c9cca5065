"""Counts copies and near-copies: an image that is trained on and tested on flatters the model."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from schema.features import Split

_HASH_BITS: Final = 64
_MOST_BITS: Final = 8
_MAX_EXAMPLES: Final = 5
_BLOCK_PAIRS: Final = 1 << 22

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What is known of one ingested image.

    Attributes:
        source: its `image/source`.
        label: its class.
        split: its side.
        sha256: SHA-256 of its bytes, 64 hexadecimal digits.
        dhash: its perceptual hash, 0 to 2^64 - 1.
    """

    source: str
    label: str
    split: Split
    sha256: str
    dhash: int


@dataclass(frozen=True)
class DuplicateReport:
    """Copies and near-copies of a data set.

    Attributes:
        within_splits: files that repeat the bytes of an earlier file of the same split.
        across_splits: distinct contents that lie on more than one split.
        conflicting_labels: distinct contents that are filed under more than one class.
        near_across_splits: distinct validation and test contents that resemble a different content
            on another split.
        across_examples: up to 5 pairs of sources with the same bytes on two splits.
        conflicting_examples: up to 5 pairs of sources with the same bytes and two labels.
        near_examples: up to 5 pairs of sources that look alike on two splits.
    """

    within_splits: int
    across_splits: int
    conflicting_labels: int
    near_across_splits: int
    across_examples: tuple[tuple[str, str], ...]
    conflicting_examples: tuple[tuple[str, str], ...]
    near_examples: tuple[tuple[str, str], ...]


def find_duplicates(records: Iterable[ImageRecord], *, near_bits: int) -> DuplicateReport:
    """Count exact copies and, across splits, near-copies.

    Args:
        records: every ingested image.
        near_bits: contents whose hashes differ in at most this many bits are near-copies, 0..8.

    Returns:
        Counts and examples. A content that lies on several splits takes part in the search for
        near-copies on the first of them only.

    Raises:
        ConfigError: `near_bits` is outside 0..8.
    """
    if not 0 <= near_bits <= _MOST_BITS:
        raise ConfigError(
            f"data.near_duplicate_bits is {near_bits}, expected 0 to {_MOST_BITS}. Change it."
        )
    groups: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for record in records:
        groups[record.sha256].append(record)
    copies = [group for group in groups.values() if len(group) > 1]
    across = [pair for group in copies if (pair := _find_pair(group, "split"))]
    conflicting = [pair for group in copies if (pair := _find_pair(group, "label"))]
    near = _find_near_pairs([group[0] for group in groups.values()], near_bits)
    return DuplicateReport(
        within_splits=sum(len(group) - len({record.split for record in group}) for group in copies),
        across_splits=len(across),
        conflicting_labels=len(conflicting),
        near_across_splits=len(near),
        across_examples=tuple(across[:_MAX_EXAMPLES]),
        conflicting_examples=tuple(conflicting[:_MAX_EXAMPLES]),
        near_examples=tuple(near[:_MAX_EXAMPLES]),
    )


def _find_pair(group: Sequence[ImageRecord], attribute: str) -> tuple[str, str] | None:
    first = group[0]
    for other in group[1:]:
        if getattr(other, attribute) != getattr(first, attribute):
            return first.source, other.source
    return None


def _find_near_pairs(records: Sequence[ImageRecord], near_bits: int) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for split in (Split.VALIDATION, Split.TEST):
        ours = [record for record in records if record.split is split]
        others = {record.dhash: record for record in records if record.split is not split}
        hashes = np.array(sorted(others), dtype=np.uint64)
        wanted, positions = np.unique(
            np.array([record.dhash for record in ours], dtype=np.uint64), return_inverse=True
        )
        partners = _find_partners(wanted, hashes, near_bits)[positions]
        pairs += [
            (record.source, others[int(hashes[partner])].source)
            for record, partner in zip(ours, partners.tolist(), strict=True)
            if partner >= 0
        ]
    return pairs


def _find_partners(wanted: Hashes, hashes: Hashes, near_bits: int) -> NDArray[np.intp]:
    # Hashes that differ in at most n bits agree on at least one of n + 1 bands. Both arrays hold
    # each hash once, so that thousands of plain pictures with hash 0 cost no more than one.
    partners = np.full(len(wanted), -1, dtype=np.intp)
    bounds = np.linspace(0, _HASH_BITS, near_bits + 2).astype(np.uint64)
    for start, end in itertools.pairwise(bounds):
        open_ones = np.flatnonzero(partners < 0)
        width = np.uint64(_HASH_BITS) - (end - start)
        our_keys = (wanted[open_ones] >> start) << width
        their_keys = (hashes >> start) << width
        our_order, their_order = np.argsort(our_keys), np.argsort(their_keys)
        keys, firsts = np.unique(our_keys[our_order], return_index=True)
        lows = np.searchsorted(their_keys[their_order], keys, side="left")
        highs = np.searchsorted(their_keys[their_order], keys, side="right")
        lasts = np.append(firsts[1:], len(our_order))
        for index in np.flatnonzero(highs > lows):
            ours = open_ones[our_order[firsts[index] : lasts[index]]]
            theirs = their_order[lows[index] : highs[index]]
            _match_band(wanted, ours, hashes, theirs, near_bits, partners)
    return partners


def _match_band(
    wanted: Hashes,
    ours: NDArray[np.intp],
    hashes: Hashes,
    theirs: NDArray[np.intp],
    near_bits: int,
    partners: NDArray[np.intp],
) -> None:
    rows = max(1, _BLOCK_PAIRS // len(theirs))
    for start in range(0, len(ours), rows):
        block = ours[start : start + rows]
        distances = np.bitwise_count(wanted[block, None] ^ hashes[theirs][None, :])
        nearest = distances.argmin(axis=1)
        is_near = distances[np.arange(len(block)), nearest] <= near_bits
        partners[block[is_near]] = theirs[nearest[is_near]]
