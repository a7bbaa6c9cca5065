"""The model that `benchmarks.serving` serves, the peer's, and the requests sent to both.

python -m benchmarks.serving_model FOLDER --images FOLDER   (one process; prints one line of JSON)
"""

import argparse
import base64
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

SIDE_PIXELS: Final = 64
NUM_CLASSES: Final = 10
NUM_IMAGES: Final = 64
MODEL_NAME: Final = "reference"
UINT8_SIGNATURE: Final = "serve_uint8"
VERSIONS: Final = (1, 2)
FORMS: Final = ("jpeg", "uint8", "float32")
"""What a request holds: the encoded image, or 64x64x3 pixels that the client made of it."""
PROTOCOLS: Final = ("grpc", "rest")
PEER_FILE: Final = "peer.keras"


def export_reference(folder: Path) -> None:
    """Export the untrained reference CNN as the Trainer does, with one more signature.

    `export_classifier` writes no signature that takes uint8 pixels; the table of forms needs one.

    Args:
        folder: gets the SavedModel.
    """
    import tensorflow as tf

    from configs.types import TrainConfig
    from trainer.model import build_classifier
    from trainer.signatures import ServingModule
    from trainer.thresholds import Decision

    size = {"height_pixels": SIDE_PIXELS, "width_pixels": SIDE_PIXELS}
    config = TrainConfig(backbone="reference")
    model = build_classifier(config, num_classes=NUM_CLASSES, **size)
    labels = [f"class {number}" for number in range(NUM_CLASSES)]
    module = ServingModule(model, labels, Decision(1.0, None, 0.0, 0, 0.0, 0.0))

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE_PIXELS, SIDE_PIXELS, 3], tf.uint8)])
    def serve_uint8(pixels: Any) -> Any:
        return module.answer_pixels(tf.cast(pixels, tf.float32))

    with tempfile.TemporaryDirectory() as assets:
        module.attach_assets(Path(assets))
        signatures = {**module.signatures(), UINT8_SIGNATURE: serve_uint8}
        tf.saved_model.save(module, str(folder), signatures=signatures)


def export_peer(file: Path) -> None:
    """Save the plain Keras script's model, untrained: the same network as the reference CNN.

    Args:
        file: gets the model in Keras' own format.
    """
    from benchmarks.plain_keras import build_model

    build_model(SIDE_PIXELS, NUM_CLASSES).save(file)


def write_requests(folder: Path, images: list[bytes]) -> None:
    """Write every image as a request of each protocol and form, ready to be sent.

    Args:
        folder: gets `<protocol>-<form>/<number>.bin`: a serialized PredictRequest, or the body
            of a POST.
        images: encoded images.
    """
    import numpy as np
    import tensorflow as tf

    for number, data in enumerate(images):
        decoded = tf.io.decode_image(data, channels=3, expand_animations=False)
        floats = tf.image.resize(decoded, (SIDE_PIXELS, SIDE_PIXELS), antialias=True).numpy()
        values = {
            "jpeg": ("image_bytes", "", np.array([data], object)),
            "uint8": ("pixels", UINT8_SIGNATURE, floats.round().astype(np.uint8)[None]),
            "float32": ("pixels", "serve_pixels", floats[None]),
        }
        for form, (alias, signature, value) in values.items():
            proto = _predict_request(alias, signature, value)
            _write(folder / f"grpc-{form}", number, proto)
            _write(folder / f"rest-{form}", number, _post_body(form, signature, value, data))


def write_reloads(folder: Path, base_path: Path) -> None:
    """Write the requests that make a server swap versions.

    Args:
        folder: gets `reload-<version>.bin`: a serialized ReloadConfigRequest.
        base_path: folder of the versions.
    """
    from tensorflow_serving.apis import model_management_pb2

    for version in VERSIONS:
        request: Any = model_management_pb2.ReloadConfigRequest()
        entry = request.config.model_config_list.config.add(
            name=MODEL_NAME, base_path=str(base_path), model_platform="tensorflow"
        )
        entry.model_version_policy.specific.versions.append(version)
        (folder / f"reload-{version}.bin").write_bytes(request.SerializeToString())


def _predict_request(alias: str, signature: str, value: Any) -> bytes:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request: Any = predict_pb2.PredictRequest()
    request.model_spec.name = MODEL_NAME
    request.model_spec.signature_name = signature
    request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request.SerializeToString()


def _post_body(form: str, signature: str, value: Any, data: bytes) -> bytes:
    import orjson

    if form == "jpeg":
        return orjson.dumps({"instances": [{"b64": base64.b64encode(data).decode("ascii")}]})
    body = {"signature_name": signature, "instances": value}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _write(folder: Path, number: int, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{number:03d}.bin").write_bytes(content)


def main() -> None:
    """Export, write and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Make what the serving benchmark needs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    files = sorted(options.images.rglob("*.jp*g"))
    random.Random(0).shuffle(files)  # noqa: S311
    images = [file.read_bytes() for file in files[:NUM_IMAGES]]
    base_path = folder / MODEL_NAME
    export_reference(base_path / str(VERSIONS[0]))
    shutil.copytree(base_path / str(VERSIONS[0]), base_path / str(VERSIONS[1]))
    export_peer(folder / PEER_FILE)
    write_requests(folder / "requests", images)
    write_reloads(folder, base_path)
    for number, data in enumerate(images):
        _write(folder / "images", number, data)
    mean_bytes = sum(map(len, images)) / len(images)
    print(json.dumps({"images": len(images), "mean_image_bytes": round(mean_bytes)}))


if __name__ == "__main__":
    main()
