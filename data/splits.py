"""Decides the side of an image by its content, so that it keeps that side for ever."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from configs.errors import ConfigError
from data.sources import ImageFile
from schema.features import Split

_DIGITS: Final = 16


def assign_split(sha256_hex: str, *, validation_share: float, test_share: float) -> Split:
    """Choose the side of an image whose side nobody chose.

    With u = (first 16 hexadecimal digits of SHA-256) / 16^16, which is uniform in 0..1: test when
    u < test_share, validation when u < test_share + validation_share, else train. It depends on
    nothing but the bytes and the shares: copies share a side, and more data moves no image.

    Args:
        sha256_hex: SHA-256 of the file's bytes, 64 hexadecimal digits.
        validation_share: share of images that validates, 0..1.
        test_share: share of images that tests, 0..1.

    Returns:
        The side.

    Raises:
        ConfigError: the shares leave nothing to train on.
    """
    if validation_share + test_share >= 1:
        raise ConfigError(
            f"data.validation_share + data.test_share is {validation_share + test_share:g}, "
            "expected less than 1. Lower one of them."
        )
    position = int(sha256_hex[:_DIGITS], 16) / 16**_DIGITS
    if position < test_share:
        return Split.TEST
    if position < test_share + validation_share:
        return Split.VALIDATION
    return Split.TRAIN


def split_for(
    given: Split | None,
    present: frozenset[Split],
    sha256_hex: str,
    *,
    validation_share: float,
    test_share: float,
) -> Split:
    """Choose the side of an image, as far as the layout has not.

    Validation and test images stay where they were put. From the others, by content, those sides
    are carved that the data lacks: both when it names no split or only train, validation when it
    has train and test, test when it has train and validation.

    Args:
        given: side that the layout or manifest puts the image on; None when it leaves that open.
        present: sides that the image's span names, as `present_splits` finds them.
        sha256_hex: SHA-256 of the file's bytes, 64 hexadecimal digits.
        validation_share: share of images that validates, 0..1.
        test_share: share of images that tests, 0..1.

    Returns:
        The side.
    """
    if given is Split.VALIDATION or given is Split.TEST:
        return given
    assigned = assign_split(sha256_hex, validation_share=validation_share, test_share=test_share)
    return Split.TRAIN if assigned in present else assigned


def present_splits(files: Iterable[ImageFile]) -> dict[int, frozenset[Split]]:
    """Find the sides that each span names.

    Args:
        files: what `list_images` gave.

    Returns:
        For each span number its named sides; an empty set where content decides everything.
    """
    present: defaultdict[int, set[Split]] = defaultdict(set)
    for file in files:
        present[file.span].update([file.split] if file.split else [])
    return {span: frozenset(splits) for span, splits in present.items()}
