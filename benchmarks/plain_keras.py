"""The peer: image classification as one plain Keras script, with nothing of Loupe in it.

python -m benchmarks.plain_keras --data FOLDER --output FOLDER

It reads class folders, or train/validation/test folders of class folders, trains the reference CNN
(conv 32, conv 64, dense 128), measures accuracy on the test images and exports a SavedModel that
takes encoded images. It prints one line of JSON.
"""

import argparse
import json
import math
import random
import resource
import time
from pathlib import Path
from typing import Any

import keras
import psutil
import tensorflow as tf

SPLITS = ("train", "validation", "test")
CARVED_SHARE = 0.1

Files = list[tuple[str, int]]


def list_images(folder: Path, seed: int) -> tuple[dict[str, Files], list[str]]:
    """Find the images and their classes.

    Args:
        folder: class folders, or split folders of class folders.
        seed: decides which images validate and test where the folder does not.

    Returns:
        For each split its (path, class number) pairs, shuffled; and the class names.
    """
    names = [name for name in SPLITS if (folder / name).is_dir()] or [""]
    labels = sorted({path.name for name in names for path in (folder / name).iterdir()
                     if path.is_dir()})  # fmt: skip
    splits: dict[str, Files] = {}
    for name in names:
        files = [
            (str(path), number)
            for number, label in enumerate(labels)
            for path in sorted((folder / name / label).glob("*.*"))
        ]
        random.Random(seed).shuffle(files)  # noqa: S311
        splits[name or "train"] = files
    for name in SPLITS[1:]:
        if name not in splits:
            count = round(CARVED_SHARE * len(splits["train"]))
            splits[name] = splits["train"][:count]
            splits["train"] = splits["train"][count:]
    return splits, labels


def make_dataset(files: Files, size: int) -> tf.data.Dataset:
    """Read, decode and resize images.

    Args:
        files: (path, class number) pairs.
        size: height and width of the result, in pixels.

    Returns:
        Pairs of uint8 (size, size, 3) and int32 class number.
    """
    options = tf.data.Options()
    # The peer at its best, and the same each time: with the tuner, an iterator that ends waits up
    # to as long as it lived (see `trainer.input_fn`), which made this script 58 to 93 s long.
    options.autotune.enabled = False
    paths, numbers = zip(*files, strict=True)
    dataset = tf.data.Dataset.from_tensor_slices((list(paths), list(numbers)))
    return dataset.map(
        lambda path, number: (decode(tf.io.read_file(path), size), number),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).with_options(options)


def decode(image_bytes: tf.Tensor, size: int) -> tf.Tensor:
    """Decode one image and resize it.

    Args:
        image_bytes: string scalar, an encoded image.
        size: height and width of the result, in pixels.

    Returns:
        uint8 (size, size, 3).
    """
    image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    image = tf.image.resize(image, (size, size), antialias=True)
    return tf.saturate_cast(tf.round(image), tf.uint8)


def build_model(size: int, num_classes: int) -> Any:
    """Build and compile the reference CNN.

    Args:
        size: height and width of the input, in pixels.
        num_classes: classes, at least 2.

    Returns:
        A compiled model of pixels 0..255 to probabilities.
    """
    model: Any = keras.Sequential([
        keras.Input((size, size, 3)),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(num_classes, activation="softmax"),
    ])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(model: Any, splits: dict[str, Files], options: argparse.Namespace) -> int:
    """Train until the last step.

    Args:
        model: a compiled model.
        splits: images of each split.
        options: the command line.

    Returns:
        Steps taken.
    """
    steps_per_epoch = math.ceil(len(splits["train"]) / options.batch_size)
    total_steps = min(options.epochs * steps_per_epoch, options.max_steps or math.inf)
    epochs = math.ceil(total_steps / steps_per_epoch)
    training = make_dataset(splits["train"], options.size)
    validation = make_dataset(splits["validation"], options.size)
    if epochs > 1:
        training, validation = training.cache(), validation.cache()
    history = model.fit(
        training.shuffle(1024).repeat().batch(options.batch_size).prefetch(tf.data.AUTOTUNE),
        validation_data=validation.batch(options.batch_size).prefetch(tf.data.AUTOTUNE),
        epochs=epochs,
        steps_per_epoch=total_steps // epochs,
        callbacks=[keras.callbacks.EarlyStopping(patience=6, restore_best_weights=True)],
        verbose=0,
    )
    return len(history.epoch) * (total_steps // epochs)


def export(model: Any, size: int, folder: str) -> None:
    """Write a SavedModel that takes encoded images.

    Args:
        model: the trained model.
        size: height and width of its input, in pixels.
        folder: where it goes.
    """

    def serve(image_bytes: tf.Tensor) -> tf.Tensor:
        pixels = tf.map_fn(
            lambda one: decode(one, size), image_bytes,
            fn_output_signature=tf.TensorSpec((size, size, 3), tf.uint8),
        )  # fmt: skip
        return model(tf.cast(pixels, tf.float32))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[tf.TensorSpec([None], tf.string)])
    archive.write_out(folder, verbose=False)


def main() -> None:
    """Train, evaluate, export and print one line of JSON."""
    options = _parse_arguments()
    keras.utils.set_random_seed(options.seed)
    splits, labels = list_images(Path(options.data), options.seed)
    model = build_model(options.size, len(labels))
    steps = train(model, splits, options)
    test = make_dataset(splits["test"], options.size).batch(options.batch_size)
    accuracy = model.evaluate(test.prefetch(tf.data.AUTOTUNE), verbose=0, return_dict=True)
    export(model, options.size, options.output)
    report = {
        "seconds": round(time.time() - psutil.Process().create_time(), 2),
        "accuracy": accuracy["accuracy"],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "steps": steps,
        "images": {name: len(files) for name, files in splits.items()},
        "parameters": model.count_params(),
    }
    print(json.dumps(report))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train an image classifier with plain Keras.")
    parser.add_argument("--data", required=True, help="class folders, or split folders of them")
    parser.add_argument("--output", required=True, help="folder of the SavedModel")
    parser.add_argument("--size", type=int, default=64, help="side of the input, pixels")
    parser.add_argument("--batch-size", type=int, default=64, help="images a step")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--max-steps", type=int, default=0, help="0 means no limit")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
