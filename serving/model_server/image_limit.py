"""Refuses images that would take gigabytes to decode, before any model sees them."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from serving.model_server.errors import InvalidArgumentError
from serving.model_server.image_sizes import MAX_BLOCKS, UNBOUNDED, count_pixels
from serving.model_server.runner import ModelCall, Runner
from serving.model_server.servable import Tensors

_MAX_STRINGS_ON_LOOP: Final = 64
_EXAMPLE_TAG: Final = 0x0A
"""A serialized tf.Example is one field, number 1, of known length."""


class ImageLimitRunner:
    """Checks the encoded images among a request's strings, then calls another runner."""

    def __init__(self, runner: Runner, max_pixels: int) -> None:
        self._runner = runner
        self._max_pixels = max_pixels

    async def run(self, call: ModelCall) -> Tensors:
        """Run a signature unless an input is too large an image; see `Runner`.

        Args:
            call: what to run.

        Returns:
            The outputs by alias.

        Raises:
            ServingError: INVALID_ARGUMENT for too large an image; else what the runner raises.
        """
        num_strings = sum(value.size for value in call.inputs.values() if value.dtype == np.object_)
        if num_strings > _MAX_STRINGS_ON_LOOP:
            await asyncio.to_thread(check_images, call.inputs, self._max_pixels)
        elif num_strings:
            check_images(call.inputs, self._max_pixels)
        return await self._runner.run(call)


def check_images(inputs: Tensors, max_pixels: int) -> None:
    """Check the headers of encoded images: those that are strings, and those in tf.Examples.

    Args:
        inputs: tensors by alias; those that hold no strings, and strings that are no image, pass.
        max_pixels: most pixels of an image, all its frames together.

    Raises:
        InvalidArgumentError: an image has more.
    """
    for alias, value in inputs.items():
        if value.dtype == np.object_:
            for index, text in enumerate(value.reshape(-1)):
                for image in _images_in(text):
                    _check_image(image, max_pixels, f"input {alias!r}, element {index}")


def _check_image(data: bytes, max_pixels: int, where: str) -> None:
    pixels = count_pixels(data)
    if pixels == UNBOUNDED:
        raise InvalidArgumentError(
            f"{where}: the image has more than {MAX_BLOCKS} blocks, so its size is not looked for. "
            "Save it again, or turn the check off (--max_image_pixels=0)."
        )
    if pixels is not None and pixels > max_pixels:
        raise InvalidArgumentError(
            f"{where}: the image has {pixels} pixels, expected at most {max_pixels}. Make it "
            "smaller, or raise --max_image_pixels."
        )


def _images_in(text: Any) -> Iterator[bytes]:
    if not isinstance(text, bytes):
        return
    if not _may_be_example(text):
        yield text
        return
    try:
        example = tf.train.Example.FromString(text)
    except DecodeError:
        return
    for feature in example.features.feature.values():
        yield from feature.bytes_list.value


def _may_be_example(text: bytes) -> bool:
    if not text or text[0] != _EXAMPLE_TAG:
        return False
    length = shift = 0
    for position, byte in enumerate(text[1:11], start=2):
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position + length == len(text)
        shift += 7
    return False
