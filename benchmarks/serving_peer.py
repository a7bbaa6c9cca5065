"""The peers: what a user would do without this model server.

python -m benchmarks.serving_peer fastapi peer.keras --port 8000   (FastAPI, `model.predict` inside)
python -m benchmarks.serving_peer litserve reference/1 --port 8000  (LitServe, the same SavedModel)
"""

import argparse
import base64
from typing import Any, Final

PREDICT_PATH: Final = "/predict"
READY_PATH: Final = "/health"
PEERS: Final = {"fastapi": "FastAPI with model.predict", "litserve": "LitServe"}


def serve_fastapi(file: str, port: int, side_pixels: int) -> None:
    """Serve a Keras model as FastAPI's tutorial would.

    Args:
        file: the model, of uint8 pixels to probabilities.
        port: where to listen.
        side_pixels: height and width of its input.
    """
    import fastapi
    import keras
    import numpy as np
    import tensorflow as tf
    import uvicorn

    from benchmarks.plain_keras import decode

    model: Any = keras.models.load_model(file)
    # Traced by one call before many come at once.
    model.predict(np.zeros((1, side_pixels, side_pixels, 3), np.uint8), verbose=0)
    app = fastapi.FastAPI()

    @app.get(READY_PATH)
    def ready() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {}

    @app.post(PREDICT_PATH)
    def answer(  # pyright: ignore[reportUnusedFunction]
        body: dict[str, Any],
    ) -> dict[str, Any]:
        data = base64.b64decode(body["instances"][0]["b64"])
        pixels = decode(tf.constant(data), side_pixels)
        return {"predictions": model.predict(pixels[None], verbose=0).tolist()}

    uvicorn.run(app, port=port, access_log=False, log_level="warning")


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="Serve a model without this model server.")
    parser.add_argument("peer", choices=tuple(PEERS))
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--side-pixels", type=int, required=True)
    options = parser.parse_args()
    if options.peer == "fastapi":
        serve_fastapi(options.model, options.port, options.side_pixels)
    else:
        from benchmarks.serving_litserve import serve_litserve

        serve_litserve(options.model, options.port)


if __name__ == "__main__":
    main()
