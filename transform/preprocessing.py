"""What the Transform stage computes: pixels and label ids, one example at a time.

There are no analyzers, so Transform needs no pass over the data before this one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import tensorflow as tf

from configs.errors import ConfigError
from schema.features import IMAGE_ENCODED, LABEL, TRANSFORMED_IMAGE, TRANSFORMED_LABEL_ID
from transform.image_ops import image_batch_to_bytes

UNKNOWN_LABEL_ID: Final = -1


def preprocessing_fn(
    inputs: Mapping[str, tf.Tensor | tf.SparseTensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor]:
    """Turn raw examples into transformed ones.

    Args:
        inputs: `IMAGE_ENCODED` and `LABEL`, string (batch,), (batch, 1) or sparse with at most
            one value a row; other features are ignored.
        custom_config: `height_pixels` and `width_pixels` of the result, and `labels`, the class
            names in the order of their ids.

    Returns:
        `TRANSFORMED_IMAGE`, string (batch,), each the height * width * 3 bytes of a uint8 image
        (`image_ops.bytes_to_pixels` reads them), and `TRANSFORMED_LABEL_ID`, int64 (batch,),
        -1 for a label that is not in `labels`.

    Raises:
        ConfigError: `custom_config` lacks one of its entries.
    """
    missing = sorted({"height_pixels", "width_pixels", "labels"} - set(custom_config))
    if missing:
        raise ConfigError(
            f"Transform's custom_config lacks {', '.join(missing)}, got {sorted(custom_config)}. "
            "Build the stage with components.transform.component.build_transform, which fills it."
        )
    encoded = _first_values(inputs[IMAGE_ENCODED])
    names = _first_values(inputs[LABEL])
    return {
        TRANSFORMED_IMAGE: image_batch_to_bytes(
            encoded,
            height_pixels=custom_config["height_pixels"],
            width_pixels=custom_config["width_pixels"],
        ),
        TRANSFORMED_LABEL_ID: look_up_label_ids(names, labels=custom_config["labels"]),
    }


def look_up_label_ids(names: tf.Tensor, *, labels: Sequence[str]) -> tf.Tensor:
    """Find the id of each class name.

    Args:
        names: string (batch,).
        labels: the class names in the order of their ids.

    Returns:
        int64 (batch,), -1 for a name that is not in `labels`.
    """
    # Comparing needs no table, and a table is one more thing to initialise in a SavedModel.
    is_equal = tf.equal(names[:, tf.newaxis], tf.constant(list(labels))[tf.newaxis, :])
    ids = tf.argmax(tf.cast(is_equal, tf.int8), axis=1, output_type=tf.int64)
    unknown = tf.constant(UNKNOWN_LABEL_ID, tf.int64)
    return tf.where(tf.reduce_any(is_equal, axis=1), ids, unknown)


def _first_values(feature: Any) -> tf.Tensor:
    # A feature of shape [1] arrives dense as (batch, 1), one that may be missing as sparse.
    if isinstance(feature, tf.SparseTensor):
        one_column = tf.SparseTensor(
            feature.indices, feature.values, tf.stack([feature.dense_shape[0], 1])
        )
        return tf.reshape(tf.sparse.to_dense(one_column, default_value=""), [-1])
    return tf.reshape(feature, [-1])
