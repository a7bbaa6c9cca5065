"""The peer: what a user would write without a model server, FastAPI with `model.predict` inside.

python -m benchmarks.serving_peer MODEL --port 8000

Where FastAPI is not installed, a bare ASGI application does the same in its place. It does less
than FastAPI for a request, so beating it is harder.
"""

import argparse
import asyncio
import base64
import importlib
import importlib.util
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvicorn

PATH: Final = "/predict"
READY_PATH: Final = "/ready"

Predict = Callable[[dict[str, Any]], dict[str, Any]]


def has_fastapi() -> bool:
    """Tell which application this environment gets.

    Returns:
        Whether FastAPI is installed.
    """
    return importlib.util.find_spec("fastapi") is not None


def make_predict(file: str, side_pixels: int) -> Predict:
    """Load a Keras model and make the function that answers a request with it.

    Args:
        file: the model, of uint8 pixels to probabilities.
        side_pixels: height and width of its input.

    Returns:
        Function of `{"instances": [{"b64": ...}]}` to `{"predictions": [[...]]}`; one image.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from benchmarks.plain_keras import decode

    model: Any = keras.models.load_model(file)
    # Traced by one call before many come at once.
    model.predict(np.zeros((1, side_pixels, side_pixels, 3), np.uint8), verbose=0)

    def predict(body: dict[str, Any]) -> dict[str, Any]:
        data = base64.b64decode(body["instances"][0]["b64"])
        pixels = decode(tf.constant(data), side_pixels)
        return {"predictions": model.predict(pixels[None], verbose=0).tolist()}

    return predict


def make_fastapi_app(predict: Predict) -> Any:
    """Write the application as FastAPI's tutorial does.

    Args:
        predict: answers one request; FastAPI calls it in its thread pool.

    Returns:
        The ASGI application.
    """
    fastapi = importlib.import_module("fastapi")
    app = fastapi.FastAPI()

    @app.get(READY_PATH)
    def ready() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {}

    @app.post(PATH)
    def answer(  # pyright: ignore[reportUnusedFunction]
        body: dict[str, Any],
    ) -> dict[str, Any]:
        return predict(body)

    return app


def make_bare_app(predict: Predict) -> Any:
    """Write the same without FastAPI.

    Args:
        predict: answers one request; called in a thread.

    Returns:
        The ASGI application.
    """

    async def app(
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        body = b""
        is_last = False
        while not is_last:
            message = await receive()
            body += message.get("body", b"")
            is_last = not message.get("more_body", False)
        answer = await asyncio.to_thread(predict, json.loads(body)) if scope["path"] == PATH else {}
        content = json.dumps(answer).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="Serve a Keras model without a model server.")
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--side-pixels", type=int, required=True)
    options = parser.parse_args()
    predict = make_predict(options.model, options.side_pixels)
    app = make_fastapi_app(predict) if has_fastapi() else make_bare_app(predict)
    uvicorn.run(app, port=options.port, access_log=False, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
