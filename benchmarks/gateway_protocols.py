"""The gateway's gRPC client beside a REST client: what one call costs a Python process.

python -m benchmarks.gateway_protocols --grpc-port 8500 --rest-port 8501 --images FOLDER
"""

import argparse
import asyncio
import base64
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import uvloop

from benchmarks.serving_clients import Stopwatch
from benchmarks.serving_model import MODEL_NAME
from serving.gateway.model.client import ModelClient
from serving.gateway.settings import ModelServerSettings

CONCURRENT: Final = 8
_WARM_SECONDS: Final = 1.0
_BUDGET_SECONDS: Final = 10.0

Predict = Callable[[bytes], Awaitable[object]]


async def measure(predict: Predict, images: list[bytes], seconds: float) -> dict[str, float]:
    """Call from a few coroutines at once.

    Args:
        predict: asks about one image.
        images: encoded images, taken in turn.
        seconds: how long to measure.

    Returns:
        `requests_per_second`, `p50_ms`, `p95_ms`, `p99_ms` and `cpu_ms_per_call` of this process.
    """
    source = itertools.cycle(images)
    stopwatch = Stopwatch(_WARM_SECONDS, seconds)
    num_calls = 0
    cpu_began = time.process_time()

    async def caller() -> None:
        nonlocal num_calls
        while stopwatch.is_running():
            started = time.perf_counter()
            await predict(next(source))
            stopwatch.add(started)
            num_calls += 1

    await asyncio.gather(*(caller() for _ in range(CONCURRENT)))
    cpu_ms = (time.process_time() - cpu_began) * 1e3
    return {**stopwatch.report(), "cpu_ms_per_call": cpu_ms / num_calls}


async def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both protocols.

    Args:
        options: ports, images and seconds.

    Returns:
        The report of each protocol.
    """
    images = [path.read_bytes() for path in sorted(options.images.iterdir())]
    settings = ModelServerSettings(
        grpc_address=f"127.0.0.1:{options.grpc_port}",
        name=MODEL_NAME,
        timeout_seconds=_BUDGET_SECONDS,
        max_images_per_call=1,  # as over REST
    )
    grpc_client = ModelClient(settings)
    url = f"http://127.0.0.1:{options.rest_port}/v1/models/{MODEL_NAME}:predict"
    async with httpx.AsyncClient(timeout=_BUDGET_SECONDS) as rest_client:

        async def ask_grpc(data: bytes) -> object:
            return await grpc_client.predict(data, budget_seconds=_BUDGET_SECONDS)

        async def ask_rest(data: bytes) -> object:
            body = orjson.dumps({"instances": [{"b64": base64.b64encode(data).decode("ascii")}]})
            answer = await rest_client.post(url, content=body)
            return orjson.loads(answer.raise_for_status().content)["predictions"][0]

        report = {
            "gRPC": await measure(ask_grpc, images, options.seconds),
            "REST": await measure(ask_rest, images, options.seconds),
        }
    await grpc_client.close()
    return report


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Compare protocols to the model server.")
    parser.add_argument("--grpc-port", type=int, required=True)
    parser.add_argument("--rest-port", type=int, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(compare(parser.parse_args()))))


if __name__ == "__main__":
    main()
