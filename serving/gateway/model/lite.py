"""A small model in this process: the exported LiteRT file."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from ai_edge_litert.interpreter import Interpreter, SignatureRunner
from numpy.typing import NDArray
from PIL import Image

from configs.errors import ConfigError
from schema.features import (
    INPUT_PIXELS,
    OUTPUT_LABEL_ID,
    OUTPUT_NEEDS_REVIEW,
    OUTPUT_PROBABILITIES,
    Signature,
)
from serving.gateway.model.answers import ModelAnswer
from serving.gateway.uploads.images import CheckedImage
from serving.gateway.uploads.pixels import decode_upright, open_picture

_INPUT_RANK: Final = 4


class LiteModel:
    """Answers as the model server would, but for small differences of decoding.

    Args:
        file: the LiteRT file, with the signature `serve_pixels`.
        labels_file: class names, one a line, in the order of its probabilities.

    Raises:
        ConfigError: a file that is missing, or that holds something else.
    """

    def __init__(self, file: Path, labels_file: Path) -> None:
        self._runner = _load(file)
        shape = self._runner.get_input_details()[INPUT_PIXELS]["shape_signature"]
        if len(shape) != _INPUT_RANK or min(shape[1:3]) <= 0:
            raise ConfigError(
                f"fallback model '{file}': input '{INPUT_PIXELS}' has shape {list(shape)}, "
                "expected (batch, height, width, 3). Export it again."
            )
        self._size = int(shape[2]), int(shape[1])  # Pillow's order
        self._classes = _read_labels(labels_file)
        num_classes = len(
            self._infer(np.zeros((1, *shape[1:]), np.float32))[OUTPUT_PROBABILITIES][0]
        )
        if num_classes != len(self._classes):
            raise ConfigError(
                f"fallback labels '{labels_file}' has {len(self._classes)} classes, expected the "
                f"{num_classes} of '{file}'. Give the labels.txt of the version it was made of."
            )
        # The interpreter is not safe for threads, and one image takes a millisecond.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fallback")

    def close(self) -> None:
        """End its thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def predict(self, image: CheckedImage) -> ModelAnswer:
        """Say what an image shows.

        Args:
            image: a checked picture.

        Returns:
            The answer, of version 0.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._predict, image)

    def _predict(self, image: CheckedImage) -> ModelAnswer:
        started = time.monotonic()
        outputs = self._infer(decode_resized(image, self._size)[np.newaxis])
        probabilities: list[float] = outputs[OUTPUT_PROBABILITIES][0].tolist()
        # Both depend on thresholds that are inside the model, if it was exported with them.
        if OUTPUT_LABEL_ID in outputs:
            label_id = int(outputs[OUTPUT_LABEL_ID][0])
        else:
            label_id = probabilities.index(max(probabilities))
        needs_review = OUTPUT_NEEDS_REVIEW in outputs and bool(outputs[OUTPUT_NEEDS_REVIEW][0])
        return ModelAnswer(
            label=self._classes[label_id],
            label_id=label_id,
            probability=min(1.0, probabilities[label_id]),
            probabilities=tuple(min(1.0, value) for value in probabilities),
            classes=self._classes,
            needs_review=needs_review,
            version=0,
            model_ms=1000 * (time.monotonic() - started),
        )

    def _infer(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        return self._runner(**{INPUT_PIXELS: pixels})


def decode_resized(image: CheckedImage, size: tuple[int, int]) -> NDArray[np.float32]:
    """Decode as the SavedModel does, as closely as Pillow can.

    Args:
        image: a checked picture.
        size: width and height of the result.

    Returns:
        float32 (height, width, 3), 0..255, whole numbers.
    """
    with open_picture(image.data, image.format) as picture:
        upright = decode_upright(picture, orientation=image.orientation, min_side_pixels=max(size))
    return np.asarray(upright.resize(size, Image.Resampling.BILINEAR), np.float32)


def _load(file: Path) -> SignatureRunner:
    try:
        return Interpreter(model_path=str(file), num_threads=1).get_signature_runner(
            Signature.SERVE_PIXELS
        )
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"fallback model '{file}' cannot be loaded: {error}. Give a LiteRT file with the "
            f"signature '{Signature.SERVE_PIXELS}'."
        ) from error


def _read_labels(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"fallback labels '{file}' cannot be read: {error}. Give the version's labels.txt."
        ) from error
    return tuple(line for line in lines if line)
