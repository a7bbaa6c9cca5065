"""`python -m serving.model_server`: the command line of tensorflow_model_server."""

import logging
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Final

from configs.errors import PipelineError
from serving.model_server.errors import ServingError
from serving.model_server.flags import ServerFlags, parse_flags, usage

EXIT_OK: Final = 0
EXIT_FAILED: Final = 255
"""What `return -1` of the C++ server becomes."""
_THREADS_PER_CPU: Final = 4


def main(arguments: Sequence[str]) -> int:
    """Run the model server.

    Args:
        arguments: the arguments after the program's name.

    Returns:
        The exit code: 0 after SIGTERM or `--version`, 255 when the server could not start.
    """
    try:
        parsed = parse_flags(arguments)
    except PipelineError as error:
        print(f"{error}\n{usage()}", flush=True)
        return EXIT_FAILED
    if parsed.flags.version:
        print(f"TensorFlow ModelServer: {metadata.version('tensorflow-serving-api')}+loupe")
        print(f"TensorFlow Library: {metadata.version('tensorflow')}", flush=True)
        return EXIT_OK
    if parsed.unknown:
        print(f"unknown argument: {parsed.unknown[0]}\n{usage()}", flush=True)
    _set_up_logging()
    try:
        _serve(parsed.flags)
    except PipelineError as error:
        text = error.describe() if isinstance(error, ServingError) else str(error)
        print(text, file=sys.stderr, flush=True)
        print(f"Failed to start server. Error: {text}", flush=True)
        return EXIT_FAILED
    return EXIT_OK


def _set_up_logging() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
    )
    # TensorFlow would write a line for every request whose op fails.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _serve(flags: ServerFlags) -> None:
    # What costs little is checked before TensorFlow is imported, which takes seconds.
    from serving.model_server.batching_parameters import count_cpus
    from serving.model_server.ports import check_ports_are_free
    from serving.model_server.server_files import read_server_files

    files = read_server_files(flags)
    check_ports_are_free(flags)

    import asyncio

    import uvloop

    from serving.model_server.server import ModelServer

    default_threads = _THREADS_PER_CPU * count_cpus()

    async def serve() -> None:
        await ModelServer(flags, files, default_threads).serve()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    sys.stdout.flush()
    # Not sys.exit: a model call that outlived the grace period would be waited for.
    os._exit(exit_code)
