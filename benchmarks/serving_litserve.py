"""LitServe with the SavedModel that the model server serves; see `benchmarks.serving_peer`."""

import base64
import os
from typing import Any, Final

import litserve

from benchmarks.serving_peer import PREDICT_PATH

_BATCH_SIZE: Final = 16
_BATCH_TIMEOUT_SECONDS: Final = 0.005


class SavedModelAPI(litserve.LitAPI):
    """The SavedModel that the model server serves, behind LitServe with batching on."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            max_batch_size=_BATCH_SIZE,
            batch_timeout=_BATCH_TIMEOUT_SECONDS,
            api_path=PREDICT_PATH,
        )
        self._folder = folder

    def setup(self, device: str) -> None:
        """Load the model in a worker process.

        Args:
            device: unused; there is the CPU only.
        """
        del device
        import tensorflow as tf

        self._tf = tf
        self._model: Any = tf.saved_model.load(self._folder)
        self._signature = self._model.signatures["serving_default"]
        image = tf.io.encode_jpeg(tf.zeros((64, 64, 3), tf.uint8)).numpy()
        self.predict([image] * _BATCH_SIZE)  # warmed up, as the model server is

    def decode_request(self, request: dict[str, Any], **_: Any) -> bytes:
        """Take the image out of a request.

        Args:
            request: `{"instances": [{"b64": ...}]}`.

        Returns:
            The encoded image.
        """
        return base64.b64decode(request["instances"][0]["b64"])

    def predict(self, x: list[bytes], **_: Any) -> list[list[float]]:
        """Run the model.

        Args:
            x: encoded images.

        Returns:
            The probabilities of each.
        """
        outputs = self._signature(image_bytes=self._tf.constant(x))
        return outputs["probabilities"].numpy().tolist()

    def encode_response(self, output: list[float], **_: Any) -> dict[str, Any]:
        """Make an answer.

        Args:
            output: probabilities of one image.

        Returns:
            `{"predictions": [[...]]}`.
        """
        return {"predictions": [output]}


def serve_litserve(folder: str, port: int) -> None:
    """Serve a SavedModel with LitServe, a worker for each core.

    Args:
        folder: the SavedModel.
        port: where to listen.
    """
    server = litserve.LitServer(
        SavedModelAPI(folder), accelerator="cpu", workers_per_device=os.cpu_count() or 1
    )
    server.run(
        host="127.0.0.1",
        port=port,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
