"""Batches of transformed images out of TFRecord shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tensorflow as tf

from configs.errors import StageError
from configs.types import TrainConfig, TransformConfig
from schema.features import TRANSFORMED_IMAGE, TRANSFORMED_LABEL_ID
from transform.augment import augment_batch
from transform.decoders import CHANNELS
from transform.image_ops import bytes_to_pixels

_COMPRESSED_NAME: Final = ".*[.]gz"
_SHARDS_AT_ONCE: Final = 8
_COUNTING_BATCH: Final = 1024
_MAX_CACHE_BYTES: Final = 512 * 1024 * 1024
_MAX_SHUFFLED_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True)
class Split:
    """The shards of one split, counted.

    Attributes:
        files: TFRecord shards in a fixed order; those whose name ends in .gz are compressed.
        class_counts: examples of each class, by label id.
        image: size of the images.
    """

    files: tuple[str, ...]
    class_counts: tuple[int, ...]
    image: TransformConfig

    @property
    def num_examples(self) -> int:
        """Examples over all classes."""
        return sum(self.class_counts)

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.image.height_pixels * self.image.width_pixels * CHANNELS


def open_split(
    patterns: Sequence[str], *, name: str, num_classes: int, image: TransformConfig
) -> Split:
    """Find the shards of a split and count its classes.

    Args:
        patterns: file patterns, such as FnArgs.train_files.
        name: the split's name, for messages.
        num_classes: classes of the schema.
        image: size of the images that Transform made.

    Returns:
        The split. Examples whose label the schema lacks are not in it.

    Raises:
        StageError: no file matches, or no example has a known label.
    """
    files = tuple(sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern)))
    if not files:
        raise StageError(
            f"trainer: no file of the {name} split matches {list(patterns)}. "
            "Run Transform again with materialized examples."
        )
    counts = np.zeros(num_classes, np.int64)
    spec = {TRANSFORMED_LABEL_ID: tf.io.FixedLenFeature([], tf.int64)}
    for records in _read_shards(files).batch(_COUNTING_BATCH).prefetch(1):
        ids = tf.io.parse_example(records, spec)[TRANSFORMED_LABEL_ID].numpy()
        counts += np.bincount(ids[ids >= 0], minlength=num_classes)
    if not counts.sum():
        raise StageError(
            f"trainer: the {name} split in {files[0]} and {len(files) - 1} more files has no "
            "example with a label of the schema. Check the split shares and the schema's labels."
        )
    return Split(files, tuple(int(count) for count in counts), image)


def make_training_dataset(split: Split, config: TrainConfig) -> tf.data.Dataset:
    """Shuffle, augment and batch a split without end.

    Args:
        split: the training split.
        config: batch size, augmentation strength, class balance and seed.

    Returns:
        Batches of (pixels float32 (batch, height, width, 3) 0..255, one-hot labels float32
        (batch, classes), weights float32 (batch,)); the same for the same seed.
    """
    files = tf.data.Dataset.from_tensor_slices(list(split.files))
    files = files.shuffle(len(split.files), seed=config.seed, reshuffle_each_iteration=True)
    records = files.interleave(
        _read_shard,
        cycle_length=min(_SHARDS_AT_ONCE, len(split.files)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    fits_in_memory = split.num_examples * split.image_bytes <= _MAX_CACHE_BYTES
    if config.epochs > 1 and fits_in_memory:
        records = records.cache()
    buffer = min(
        split.num_examples, max(config.batch_size, _MAX_SHUFFLED_BYTES // split.image_bytes)
    )
    records = records.shuffle(buffer, seed=config.seed, reshuffle_each_iteration=True)
    batches = records.repeat().batch(config.batch_size, drop_remainder=True)
    weights = class_weights(split.class_counts) if config.balance_classes else None
    seeds = tf.data.Dataset.counter(dtype=tf.int64)

    def prepare(records: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        pixels, one_hot, weight = _parse(records, split, weights)
        seed = tf.stack([tf.constant(config.seed, tf.int64), step])
        return (
            augment_batch(pixels, strength=config.augmentation_strength, seed=seed),
            one_hot,
            weight,
        )

    dataset = tf.data.Dataset.zip((batches, seeds))
    dataset = dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return _with_options(dataset)


def make_evaluation_dataset(split: Split, config: TrainConfig) -> tf.data.Dataset:
    """Batch a split once, in order, as it is.

    Args:
        split: the validation split.
        config: the batch size.

    Returns:
        Batches as of `make_training_dataset`, every weight 1.
    """
    dataset = _read_shards(split.files).batch(config.batch_size)
    dataset = dataset.map(
        lambda records: _parse(records, split, None),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return _with_options(dataset)


def class_weights(class_counts: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Weigh each class by the inverse of its share.

    Args:
        class_counts: examples of each class, 0 or more.

    Returns:
        float32 (classes,); their mean over the examples is 1, a class without examples has 0.
    """
    counts = np.asarray(class_counts, np.float64)
    present = counts > 0
    weights = np.zeros_like(counts)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights.astype(np.float32)


def _parse(
    records: tf.Tensor, split: Split, weights: np.ndarray[Any, np.dtype[np.float32]] | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    spec = {
        TRANSFORMED_IMAGE: tf.io.FixedLenFeature([], tf.string),
        TRANSFORMED_LABEL_ID: tf.io.FixedLenFeature([], tf.int64),
    }
    features: dict[str, Any] = tf.io.parse_example(records, spec)
    pixels = bytes_to_pixels(
        features[TRANSFORMED_IMAGE],
        height_pixels=split.image.height_pixels,
        width_pixels=split.image.width_pixels,
    )
    ids = features[TRANSFORMED_LABEL_ID]
    # An unknown label has id -1: an all-zero target and no weight.
    one_hot = tf.one_hot(ids, len(split.class_counts))
    is_known = tf.cast(ids >= 0, tf.float32)
    weight = is_known if weights is None else tf.gather(weights, tf.maximum(ids, 0)) * is_known
    return tf.cast(pixels, tf.float32), one_hot, weight


def _read_shards(files: Sequence[str]) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(list(files)).flat_map(_read_shard)


def _read_shard(path: tf.Tensor) -> tf.data.Dataset:
    is_compressed = tf.strings.regex_full_match(path, _COMPRESSED_NAME)
    compression: Any = tf.where(is_compressed, "GZIP", "")
    return tf.data.TFRecordDataset(path, compression_type=compression)


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    # The tuner's thread sleeps for twice as long each time, up to a minute, and an iterator that
    # ends waits for it to wake: up to as long as an epoch took. AUTOTUNE without it is a call for
    # each core.
    options.autotune.enabled = False
    # Under a strategy of one machine every replica reads from the same pipeline.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
