"""The model server as a whole: start in order, serve, stop in order."""

import asyncio
import dataclasses
import gc
import logging
import signal
from typing import Any

import tensorflow as tf

from serving.model_server.batching import BatchScheduler
from serving.model_server.batching_parameters import BatchingParameters
from serving.model_server.deployment import Deployment
from serving.model_server.flags import ServerFlags
from serving.model_server.grpc_server import GrpcServer
from serving.model_server.image_limit import ImageLimitRunner
from serving.model_server.json_worker import JsonWorker
from serving.model_server.loader import load_options, load_servable
from serving.model_server.manager import Manager
from serving.model_server.metrics import ServerMetrics
from serving.model_server.predict import Predictor
from serving.model_server.registry import Registry
from serving.model_server.rest import RestApp, RestOptions
from serving.model_server.rest_server import RestServer
from serving.model_server.runner import BatchingRunner, Runner, ThreadRunner
from serving.model_server.server_files import ServerFiles

logger = logging.getLogger("loupe.model_server")


class ModelServer:
    """One process's models, ports and threads."""

    def __init__(self, flags: ServerFlags, files: ServerFiles, default_threads: int) -> None:
        tf.get_logger().setLevel(logging.ERROR)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        # What the imports left behind stays; collecting after an unload then takes milliseconds
        # where looking at all of TensorFlow's objects would stop every request for longer.
        gc.collect()
        gc.freeze()
        self._flags = flags
        self._files = files
        self._registry = Registry()
        self._metrics = ServerMetrics(self._is_configured) if files.metrics_path else None
        options = load_options(flags, files.batching)
        if self._metrics:
            options = dataclasses.replace(options, observe_warmup=self._metrics.observe_warmup)
        self._manager = Manager(
            flags,
            self._registry,
            lambda name, version, path: load_servable(name, version, path, options),
        )
        self._deployment = Deployment(flags, self._manager, self._registry)
        self._stopping = asyncio.Event()
        self._scheduler = self._make_scheduler(files.batching)
        self._grpc_runner = self._make_runner("grpc", flags.grpc_max_threads or default_threads, 0)
        self._rest_runner = self._make_runner(
            "rest", flags.rest_api_num_threads or default_threads, flags.rest_api_timeout_in_ms
        )

    def _is_configured(self, name: str) -> bool:
        return self._deployment.is_configured(name)

    async def serve(self) -> None:
        """Load, open the ports, serve until SIGTERM or SIGINT, and drain.

        Raises:
            PipelineError: the models or the ports are not to be had.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        manager = asyncio.create_task(asyncio.to_thread(self._manager.run))
        stopping = asyncio.create_task(self._stopping.wait())
        started = asyncio.create_task(
            asyncio.to_thread(self._deployment.start, self._files.configs)
        )
        try:
            if await _first_of(started, stopping, manager) is started:
                await self._serve_until(stopping, manager)
        finally:
            started.cancel()
            self._manager.stop()
        await manager

    async def _serve_until(self, stopping: asyncio.Task[Any], manager: asyncio.Task[Any]) -> None:
        grpc_predictor = Predictor(
            self._registry, self._grpc_runner, self._flags.enable_serialization_as_tensor_content
        )
        grpc_server = GrpcServer(
            self._flags,
            grpc_predictor,
            self._manager,
            self._deployment,
            metrics=self._metrics,
            credentials=self._files.credentials,
        )
        rest_server = self._make_rest_server()
        await grpc_server.start()
        if rest_server is not None:
            await rest_server.start()
        watcher = asyncio.create_task(self._watch_config_file())
        await _first_of(stopping, manager, watcher)
        watcher.cancel()
        if rest_server is not None:
            rest_server.stop_accepting()
        grace = self._flags.grace_period_seconds
        logger.info("stopping: requests in flight have %g s", grace)
        stops = [grpc_server.stop(grace)]
        if rest_server is not None:
            stops.append(rest_server.stop())
        await asyncio.gather(*stops)

    def _make_scheduler(self, batching: BatchingParameters | None) -> BatchScheduler | None:
        if batching is None:
            return None
        observer = self._metrics.observe_batch if self._metrics else None
        return BatchScheduler(batching, asyncio.get_running_loop(), observer)

    def _make_runner(self, name: str, max_threads: int, timeout_ms: int) -> Runner:
        runner: Runner = ThreadRunner(name, max_threads, timeout_ms)
        if self._scheduler is not None:
            runner = BatchingRunner(self._scheduler, runner, timeout_ms)
        if self._metrics is not None:
            runner = self._metrics.watch_runner(runner)
        limit = self._flags.max_image_pixels
        return ImageLimitRunner(runner, limit) if limit else runner

    def _make_rest_server(self) -> RestServer | None:
        flags = self._flags
        if not flags.rest_api_port:
            return None
        if flags.rest_api_port == flags.port:
            logger.error("--rest_api_port cannot be same as --port. REST is off.")
            return None
        app = RestApp(
            Predictor(self._registry, self._rest_runner, json_worker=JsonWorker()),
            self._manager,
            RestOptions(
                flags.rest_api_max_body_bytes,
                flags.rest_api_enable_cors_support,
                self._files.metrics_path,
            ),
            is_ready=lambda: not self._stopping.is_set(),
            metrics=self._metrics,
        )
        return RestServer(app, flags.rest_api_port, flags.grace_period_seconds)

    async def _watch_config_file(self) -> None:
        wait = self._flags.model_config_file_poll_wait_seconds
        while True:
            if wait <= 0 or not self._flags.model_config_file:
                await self._stopping.wait()
                return
            await asyncio.sleep(wait)
            await asyncio.to_thread(self._deployment.reload_from_file)


async def _first_of(*tasks: asyncio.Task[Any]) -> asyncio.Task[Any]:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finished = next(task for task in tasks if task in done)
    await finished  # raises what ended it
    return finished
