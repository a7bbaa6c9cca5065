"""The SavedModel: preprocessing, network and decision in one graph, behind named signatures.

Only ops that TensorFlow Serving 2.20 knows are used, and no lookup tables: the model also loads
into a TensorFlow 1 Session.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from schema.features import (
    DECISION_FILENAME,
    IMAGE_ENCODED,
    INPUT_EXAMPLES,
    INPUT_IMAGE_BYTES,
    INPUT_PIXELS,
    LABEL,
    LABELS_FILENAME,
    OUTPUT_CLASSES,
    OUTPUT_EMBEDDING,
    OUTPUT_LABEL,
    OUTPUT_LABEL_ID,
    OUTPUT_NEEDS_REVIEW,
    OUTPUT_PROBABILITIES,
    OUTPUT_PROBABILITY,
    TRANSFORMED_IMAGE,
    TRANSFORMED_LABEL_ID,
    Signature,
)
from trainer.backbones import EMBEDDING_LAYER
from trainer.thresholds import Decision
from transform.decoders import CHANNELS
from transform.image_ops import image_batch_to_pixels
from transform.preprocessing import look_up_label_ids

Outputs = dict[str, tf.Tensor]


class ServingModule(tf.Module):
    """What is exported: functions from bytes, examples or pixels to answers.

    Attributes:
        labels: class names in the order of their ids.
        decision: how probabilities become an answer.
        height_pixels: height of the network's input.
        width_pixels: width of the network's input.
    """

    def __init__(self, model: keras.Model, labels: Sequence[str], decision: Decision) -> None:
        super().__init__(name="loupe")
        self.labels = tuple(labels)
        self.decision = decision
        self.height_pixels, self.width_pixels = model.input_shape[1:3]
        self._weights = [variable.value for variable in model.variables]
        # In a tuple, out of sight of tf.Module: Keras' own bookkeeping is not to be exported.
        embedding = model.get_layer(EMBEDDING_LAYER).output
        self._network = _Untracked(keras.Model(model.input, [model.output, embedding]))
        self._assets: list[tf.saved_model.Asset] = []
        # Four signatures decode: traced once, the graph exists once.
        self._to_pixels = tf.function(
            partial(
                image_batch_to_pixels,
                height_pixels=self.height_pixels,
                width_pixels=self.width_pixels,
            ),
            input_signature=[tf.TensorSpec([None], tf.string)],
        )

    def attach_assets(self, folder: Path) -> None:
        """Write `labels.txt` and `decision.json`, to be copied into the export.

        Args:
            folder: where the files stay until the module is saved.
        """
        names_and_texts = {
            LABELS_FILENAME: "".join(f"{label}\n" for label in self.labels),
            DECISION_FILENAME: self.decision.to_json(),
        }
        for name, text in names_and_texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        self._assets = [tf.saved_model.Asset(str(folder / name)) for name in names_and_texts]

    def signatures(self) -> dict[str, Any]:
        """Trace every signature; batch sizes are free.

        Returns:
            Signature name to concrete function.
        """
        pixels = tf.TensorSpec(
            [None, self.height_pixels, self.width_pixels, CHANNELS], tf.float32, INPUT_PIXELS
        )
        image_bytes = tf.TensorSpec([None], tf.string, INPUT_IMAGE_BYTES)
        examples = tf.TensorSpec([None], tf.string, INPUT_EXAMPLES)
        functions = {
            Signature.SERVING_DEFAULT: (self.answer_image_bytes, image_bytes),
            Signature.SERVE_EXAMPLES: (self.answer_examples, examples),
            Signature.TRANSFORM_FEATURES: (self.transform_examples, examples),
            Signature.SERVE_PIXELS: (self.answer_pixels, pixels),
            Signature.EMBED: (self.embed_image_bytes, image_bytes),
        }
        return {
            str(name): tf.function(function).get_concrete_function(spec)
            for name, (function, spec) in functions.items()
        }

    def answer_image_bytes(self, image_bytes: tf.Tensor) -> Outputs:
        """Answer encoded images.

        Args:
            image_bytes: string (batch,), images of any sizes and formats.

        Returns:
            `label` string (batch,), `label_id` int64 (batch,), `probability` float32 (batch,) of
            that label, `probabilities` float32 (batch, classes), `classes` string (batch, classes):
            the name that each probability belongs to, `needs_review` bool (batch,).
        """
        return self.answer_pixels(tf.cast(self._to_pixels(image_bytes), tf.float32))

    def answer_examples(self, examples: tf.Tensor) -> Outputs:
        """Answer raw examples.

        Args:
            examples: string (batch,), serialized `tf.Example` with the encoded image.

        Returns:
            As `answer_image_bytes`.
        """
        spec = {IMAGE_ENCODED: tf.io.FixedLenFeature([], tf.string)}
        features: dict[str, Any] = tf.io.parse_example(examples, spec)
        return self.answer_image_bytes(features[IMAGE_ENCODED])

    def answer_pixels(self, pixels: tf.Tensor) -> Outputs:
        """Answer decoded images.

        Args:
            pixels: float32 (batch, height, width, 3), 0..255: resized, but not scaled, so that
                no client has a second definition of scaling.

        Returns:
            As `answer_image_bytes`.
        """
        logits, _ = self._network.value(pixels, training=False)
        probabilities = tf.nn.softmax(logits / self.decision.temperature)
        if self.decision.threshold is None:
            label_id = tf.argmax(probabilities, axis=1)
            top = tf.math.top_k(probabilities, k=2).values
            distance = (top[:, 0] - top[:, 1]) / 2
        else:
            is_positive = probabilities[:, 1] >= self.decision.threshold
            label_id = tf.cast(is_positive, tf.int64)
            distance = tf.abs(probabilities[:, 1] - self.decision.threshold)
        return {
            OUTPUT_LABEL: tf.gather(tf.constant(self.labels), label_id),
            OUTPUT_LABEL_ID: label_id,
            OUTPUT_PROBABILITY: tf.gather(probabilities, label_id, batch_dims=1),
            OUTPUT_PROBABILITIES: probabilities,
            # Clients know no labels.txt; they leave it out by output_filter once they know.
            OUTPUT_CLASSES: self._name_classes(probabilities),
            OUTPUT_NEEDS_REVIEW: distance <= self.decision.review_band,
        }

    def _name_classes(self, probabilities: tf.Tensor) -> tf.Tensor:
        # Broadcasting the names themselves is no op of TFLite; gathering them is.
        class_ids = tf.broadcast_to(tf.range(len(self.labels)), tf.shape(probabilities))
        return tf.gather(tf.constant(self.labels), class_ids)

    def embed_image_bytes(self, image_bytes: tf.Tensor) -> Outputs:
        """Describe encoded images by their penultimate features.

        Args:
            image_bytes: string (batch,), images of any sizes and formats.

        Returns:
            `embedding` float32 (batch, features).
        """
        pixels = tf.cast(self._to_pixels(image_bytes), tf.float32)
        return {OUTPUT_EMBEDDING: self._network.value(pixels, training=False)[1]}

    def transform_examples(self, examples: tf.Tensor) -> Outputs:
        """Do what the Transform stage does.

        Args:
            examples: string (batch,), serialized `tf.Example`; the label may be missing.

        Returns:
            `image` uint8 (batch, height, width, 3) and `label_id` int64 (batch,), -1 where the
            label is missing or unknown.
        """
        spec = {
            IMAGE_ENCODED: tf.io.FixedLenFeature([], tf.string),
            LABEL: tf.io.FixedLenFeature([], tf.string, default_value=""),
        }
        features: dict[str, Any] = tf.io.parse_example(examples, spec)
        return {
            TRANSFORMED_IMAGE: self._to_pixels(features[IMAGE_ENCODED]),
            TRANSFORMED_LABEL_ID: look_up_label_ids(features[LABEL], labels=self.labels),
        }


class _Untracked:
    def __init__(self, value: Any) -> None:
        self.value = value


def export_classifier(
    model: keras.Model, *, labels: Sequence[str], decision: Decision, folder: Path
) -> None:
    """Write a SavedModel with every signature and its assets.

    Args:
        model: float32 network from `fit_classifier`.
        labels: class names in the order of their ids.
        decision: how probabilities become an answer.
        folder: where the SavedModel goes.
    """
    module = ServingModule(model, labels, decision)
    with tempfile.TemporaryDirectory() as assets:
        module.attach_assets(Path(assets))
        tf.saved_model.save(module, str(folder), signatures=module.signatures())
