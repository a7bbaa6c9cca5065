"""A Beam worker with Loupe's packages: the program that a worker pool or Flink starts.

It takes the flags of the start-up program in Beam's own images, which no Python package holds.
Unlike the command that Beam's worker pool would run by itself, it is this very interpreter, imports
`--beam_plugins` before its threads start, and sends its log to the runner.
"""

import argparse
import os
from collections.abc import Sequence

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from google.protobuf import json_format

PROVISION_TIMEOUT_SECONDS = 60


def worker_environment(arguments: Sequence[str] | None) -> dict[str, str]:
    """Ask the runner what the worker has to know.

    Args:
        arguments: `--id` and the endpoints, as of Beam's container contract; None means those of
            the command line.

    Returns:
        Variables that Beam's worker reads.
    """
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--id", required=True, help="Identity of this worker.")
    parser.add_argument("--provision_endpoint", required=True, help="Tells the options.")
    parser.add_argument("--control_endpoint", default="", help="Gives the work.")
    parser.add_argument("--logging_endpoint", default="", help="Takes the log.")
    parser.add_argument("--artifact_endpoint", default="", help="Unused: all packages are here.")
    parser.add_argument("--semi_persist_dir", default="", help="Unused, likewise.")
    options = parser.parse_args(arguments)
    with grpc.insecure_channel(options.provision_endpoint) as channel:
        info = (
            beam_provision_api_pb2_grpc
            .ProvisionServiceStub(channel)
            .GetProvisionInfo(
                beam_provision_api_pb2.GetProvisionInfoRequest(),
                timeout=PROVISION_TIMEOUT_SECONDS,
                wait_for_ready=True,
                metadata=[("worker_id", options.id)],
            )
            .info
        )
    endpoints = {
        "CONTROL": options.control_endpoint or info.control_endpoint.url,
        "LOGGING": options.logging_endpoint or info.logging_endpoint.url,
        "STATUS": info.status_endpoint.url,
    }
    return {
        "WORKER_ID": options.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    } | {
        f"{name}_API_SERVICE_DESCRIPTOR": f'url: "{url}"' for name, url in endpoints.items() if url
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Work until the runner says that there is no more.

    Args:
        arguments: flags; None means those of the command line.
    """
    os.environ.update(worker_environment(arguments))
    # Not above: it reads WORKER_ID while it is imported.
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])


if __name__ == "__main__":
    main()
