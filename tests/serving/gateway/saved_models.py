"""Small models as the Trainer exports them, for the tests that serve one."""

import tempfile
from pathlib import Path

from schema.features import ASSETS_EXTRA_FOLDER, IMAGE_ENCODED, WARMUP_FILENAME

LABELS = ("bag", "hät", "shoe")
SIZE = {"height_pixels": 24, "width_pixels": 16}


def make_module(seed):
    """An untrained classifier; TensorFlow is imported only where one is made."""
    import numpy as np

    from configs.types import TrainConfig
    from trainer.model import build_classifier
    from trainer.signatures import ServingModule
    from trainer.thresholds import Decision

    model = build_classifier(
        TrainConfig(backbone="compact", seed=seed), num_classes=len(LABELS), **SIZE
    )
    random = np.random.default_rng(seed)
    model.set_weights([w + random.uniform(0, 0.3, w.shape) * (w.ndim == 1) for w in model.weights])
    return ServingModule(model, LABELS, Decision(1.0, None, 0.02, 30, 0.9, 0.2))


def save_module(module, folder, **more_signatures):
    """Write a SavedModel with its assets."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as assets:
        module.attach_assets(Path(assets))
        signatures = module.signatures() | more_signatures
        tf.saved_model.save(module, str(folder), signatures=signatures)


def add_warmup(folder, image_bytes):
    """Let the first request be as fast as later ones, as every pushed version does."""
    import tensorflow as tf

    from components.infra_validator.requests import write_warmup_requests

    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image_bytes]))
    example = tf.train.Example(features=tf.train.Features(feature={IMAGE_ENCODED: feature}))
    (folder / ASSETS_EXTRA_FOLDER).mkdir()
    write_warmup_requests(
        folder / ASSETS_EXTRA_FOLDER / WARMUP_FILENAME, [example.SerializeToString()], "loupe"
    )
