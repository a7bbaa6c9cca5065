"""`python -m serving.gateway`: serves the prediction API; `... keys` manages its keys."""

import signal
import sys
from collections.abc import Sequence
from typing import Final

from configs.errors import PipelineError

_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than the 60 s after which most load balancers let go of an idle connection: a request that
crosses our closing it would be lost."""

USAGE = """\
usage: python -m serving.gateway                serve; settings are LOUPE_GATEWAY_* variables
       python -m serving.gateway keys --help    manage API keys
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: the arguments after the program's name.

    Returns:
        The exit code: 0 after SIGTERM, 1 when the service could not start, 2 for bad settings.
    """
    try:
        if not arguments:
            return _serve()
        if arguments[0] == "keys":
            return _manage_keys(arguments[1:])
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(USAGE, end="", file=sys.stdout if arguments[0] in {"-h", "--help"} else sys.stderr)
    return 0 if arguments[0] in {"-h", "--help"} else 2


def _serve() -> int:
    import uvicorn

    from serving.gateway.app import metrics_folder
    from serving.gateway.http_protocol import GuardedProtocol
    from serving.gateway.observability.logs import configure_logs
    from serving.gateway.observability.metrics import share_metrics
    from serving.gateway.settings import load_settings

    settings = load_settings()
    configure_logs()
    if folder := metrics_folder(settings):
        share_metrics(folder)
    # uvicorn drains at SIGTERM and then sends the signal to itself once more: by then all is done.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    try:
        uvicorn.run(
            "serving.gateway.app:create_app_from_environment",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
            loop="uvloop",
            http=GuardedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(settings.drain_seconds),
        )
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def _manage_keys(arguments: Sequence[str]) -> int:
    from serving.gateway.cli import keys_app

    return keys_app(list(arguments), prog_name="keys", standalone_mode=False) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
