"""The least that can stand before a model server: no keys, rules, measures, records or metrics.

python -m benchmarks.gateway_bare --port 8000 --grpc-port 8500

A FastAPI route reads a picture, decodes it in a thread and asks over gRPC. What the prediction API
takes beyond it is the price of what it does; what this one takes is that of Python and gRPC.
"""

import argparse
import asyncio
import contextlib
import io
from collections.abc import AsyncGenerator
from typing import Any, Final

import fastapi
import uvicorn
from PIL import Image

from benchmarks.serving_model import MODEL_NAME
from benchmarks.serving_peer import PREDICT_PATH, READY_PATH
from serving.gateway.model.client import ModelClient
from serving.gateway.settings import ModelServerSettings

_BUDGET_SECONDS: Final = 10.0


def make_app(grpc_port: int) -> fastapi.FastAPI:
    """Make the app.

    Args:
        grpc_port: of the model server on this machine.

    Returns:
        The app; answers images posted to `PREDICT_PATH`.
    """
    settings = ModelServerSettings(
        grpc_address=f"127.0.0.1:{grpc_port}", name=MODEL_NAME, timeout_seconds=_BUDGET_SECONDS
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncGenerator[None]:
        app.state.client = ModelClient(settings)
        yield
        await app.state.client.close()

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.get(READY_PATH)
    async def ready() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {}

    @app.post(PREDICT_PATH)
    async def predict(  # pyright: ignore[reportUnusedFunction]
        request: fastapi.Request,
    ) -> dict[str, Any]:
        data = await request.body()
        await asyncio.to_thread(_decode, data)
        answer = await app.state.client.predict(data, budget_seconds=_BUDGET_SECONDS)
        return {"label": answer.label, "probability": answer.probability}

    return app


def _decode(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="Serve pictures with the least of everything.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--grpc-port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(
        make_app(options.grpc_port), port=options.port, access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
