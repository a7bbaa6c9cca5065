"""What the prediction API costs beside its model server, and beside a model inside the API."""

import dataclasses
import statistics
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.figures import Figure, Result, mebibytes, ratio
from benchmarks.gateway_processes import Gateway, database, gateway_server
from benchmarks.runs import BenchmarkSettings, fresh_folder
from benchmarks.serving import images_of
from benchmarks.serving_model import MODEL_NAME, PEER_FILE, SIDE_PIXELS
from benchmarks.serving_peer import PREDICT_PATH
from benchmarks.serving_processes import (
    Server,
    bare_gateway,
    batching_flags,
    model_server,
    peer_server,
    run_step,
)

MAX_P50_OVERHEAD_MS: Final = 3
MAX_P99_OVERHEAD_MS: Final = 15
MAX_COST_RATIO: Final = 1 / 0.6
MAX_P95_MS: Final = 200
EVERYDAY_RATE: Final = 10
CLAIMED_LATENCY_RATIO: Final = 0.6
"""The claim that motivates the architecture: 40 % less latency than a model inside the API."""

BARE: Final = "a route that only decodes and asks: seconds, times the model server's own"
WAYS: Final = ("in the API", "separate", "batched")
_WARM_SECONDS: Final = 3.0
_DIRECT_PATH: Final = f"/v1/models/{MODEL_NAME}:predict"
_GATEWAY_PATH: Final = "/v1/predict"

Report = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes:
        seconds: length of each measurement.
        num_clients: connections of each measurement.
    """

    seconds: float = 8.0
    num_clients: int = 64


@dataclasses.dataclass(frozen=True)
class Target:
    """Where requests go.

    Attributes:
        port: on this machine.
        path: of the POST.
        requests: folder with the bodies.
        headers: header lines.
    """

    port: int
    path: str
    requests: Path
    headers: tuple[str, ...] = ("Content-Type: application/json",)


def gateway(settings: BenchmarkSettings) -> Result:
    """Compare the prediction API with the model server alone and with a model inside the API.

    Args:
        settings: where images are, and repeats.

    Returns:
        Overheads, throughput ratio, latency of everyday load, and the three-way comparison.

    Raises:
        StageError: a process failed.
    """
    return measure_gateway(settings, Plan())


def measure_gateway(settings: BenchmarkSettings, plan: Plan) -> Result:
    """Do what `gateway` does, as long as told.

    Args:
        settings: where images are, and repeats.
        plan: how much to measure.

    Returns:
        As `gateway`.

    Raises:
        StageError: a process failed.
    """
    with fresh_folder(settings) as folder, database() as database_url:
        arguments = [str(folder), "--images", str(images_of(settings))]
        made = run_step(folder, "serving_model", arguments)
        rounds = [_measure_round(folder, plan, database_url) for _ in range(settings.repeats)]
        protocols = _measure_protocols(folder, plan)
    details = {
        "plan": dataclasses.asdict(plan),
        "images": made,
        "database": database_url.partition(":")[0] or "sqlite",
        "rounds": rounds,
        "protocols": protocols,
    }
    return Result("gateway", [*_promised(rounds), *_ways(rounds), *_protocols(protocols)], details)


def _measure_round(folder: Path, plan: Plan, database_url: str) -> Report:
    report: Report = {"in the API": _measure_in_api(folder, plan)}
    for way, flags in (("separate", []), ("batched", batching_flags())):
        with (
            model_server(folder / MODEL_NAME, folder / f"{way}.log", flags) as server,
            gateway_server(folder, server, database_url) as running,
        ):
            report[way] = _measure_way(folder, plan, server, running)
    report["bare"] = _measure_bare(folder, plan)
    # Each way under the same load: half of what the slowest can take.
    load = min(report[way]["full"]["requests_per_second"] for way in WAYS) / 2
    report["rate"] = load
    with peer_server("fastapi", folder / PEER_FILE, SIDE_PIXELS, folder / "api.log") as peer:
        target = Target(peer.rest_port, PREDICT_PATH, folder / "requests" / "rest-jpeg")
        report["in the API"]["same load"] = _load(folder, target, plan, load)
    for way, flags in (("separate", []), ("batched", batching_flags())):
        with (
            model_server(folder / MODEL_NAME, folder / f"{way}.log", flags) as server,
            gateway_server(folder, server, database_url) as running,
        ):
            report[way]["same load"] = _load(folder, _through(folder, running), plan, load)
    return report


def _measure_in_api(folder: Path, plan: Plan) -> Report:
    with peer_server("fastapi", folder / PEER_FILE, SIDE_PIXELS, folder / "api.log") as peer:
        target = Target(peer.rest_port, PREDICT_PATH, folder / "requests" / "rest-jpeg")
        full = _load(folder, target, plan)
        return {
            "full": full,
            "start_seconds": peer.start_seconds,
            "mebibytes": _resident(peer.process_id),
        }


def _measure_bare(folder: Path, plan: Plan) -> Report:
    with (
        model_server(folder / MODEL_NAME, folder / "bare.log", batching_flags()) as server,
        bare_gateway(server, folder / "bare-gateway.log") as running,
    ):
        headers = ("Content-Type: image/jpeg",)
        target = Target(running.rest_port, PREDICT_PATH, folder / "images", headers)
        return {"full": _load(folder, target, plan)}


def _measure_way(folder: Path, plan: Plan, server: Server, running: Gateway) -> Report:
    direct = Target(server.rest_port, _DIRECT_PATH, folder / "requests" / "rest-jpeg")
    through = _through(folder, running)
    full = _load(folder, through, plan)
    half = full["requests_per_second"] / 2
    return {
        "direct full": _load(folder, direct, plan),
        "full": full,
        "direct half": _load(folder, direct, plan, half),
        "half": _load(folder, through, plan, half),
        "everyday": _load(folder, through, plan, EVERYDAY_RATE),
        "start_seconds": max(server.start_seconds, running.start_seconds),
        "gateway_start_seconds": running.start_seconds,
        "gateway_mebibytes": _resident(running.process_id),
        "mebibytes": _resident(running.process_id) + _resident(server.process_id),
    }


def _through(folder: Path, running: Gateway) -> Target:
    headers = ("Content-Type: image/jpeg", f"Authorization: Bearer {running.key}")
    return Target(running.port, _GATEWAY_PATH, folder / "images", headers)


def _load(folder: Path, target: Target, plan: Plan, rate: float = 0.0) -> Report:
    # A server closes connections that are idle for seconds: at a low rate, fewer are enough.
    num_clients = min(plan.num_clients, max(1, int(rate))) if rate else plan.num_clients
    arguments = ["rest", "--port", str(target.port), "--path", target.path]
    arguments += ["--requests", str(target.requests), "--clients", str(num_clients)]
    arguments += ["--seconds", str(plan.seconds), "--rate", str(rate)]
    arguments += ["--warm-seconds", str(_WARM_SECONDS)]  # the first calls of a model are slow
    for header in target.headers:
        arguments += ["--header", header]
    return run_step(folder, "serving_clients", arguments)


def _measure_protocols(folder: Path, plan: Plan) -> Report:
    with model_server(folder / MODEL_NAME, folder / "protocols.log", batching_flags()) as server:
        arguments = ["--grpc-port", str(server.grpc_port), "--rest-port", str(server.rest_port)]
        arguments += ["--images", str(folder / "images"), "--seconds", str(plan.seconds)]
        return run_step(folder, "gateway_protocols", arguments)


def _resident(process_id: int) -> float:
    process = psutil.Process(process_id)
    processes = [process, *process.children(recursive=True)]
    return mebibytes(sum(each.memory_info().rss for each in processes))


def _promised(rounds: list[Report]) -> list[Figure]:
    def median(value: Any) -> float:
        return statistics.median(value(each["batched"]) for each in rounds)

    return [
        Figure(
            "p50 beyond the model server, half of saturation",
            median(lambda way: way["half"]["p50_ms"] - way["direct half"]["p50_ms"]),
            "ms",
            MAX_P50_OVERHEAD_MS,
        ),
        Figure(
            "p99 beyond the model server, half of saturation",
            median(lambda way: way["half"]["p99_ms"] - way["direct half"]["p99_ms"]),
            "ms",
            MAX_P99_OVERHEAD_MS,
        ),
        Figure(
            "seconds, times the model server's own",
            median(
                lambda way: ratio(
                    way["direct full"]["requests_per_second"], way["full"]["requests_per_second"]
                )
            ),
            "",
            MAX_COST_RATIO,
        ),
        Figure(
            f"p95 at {EVERYDAY_RATE} requests/s",
            median(lambda way: way["everyday"]["p95_ms"]),
            "ms",
            MAX_P95_MS,
        ),
        Figure(
            "p50 at the same load, times a model inside the API",
            statistics.median(
                ratio(
                    each["batched"]["same load"]["p50_ms"],
                    each["in the API"]["same load"]["p50_ms"],
                )
                for each in rounds
            ),
            "",
            CLAIMED_LATENCY_RATIO,
        ),
        Figure("gateway: start", median(lambda way: way["gateway_start_seconds"]), "s", 3),
        Figure("gateway: memory", median(lambda way: way["gateway_mebibytes"]), "MiB", 200),
    ]


def _ways(rounds: list[Report]) -> list[Figure]:
    bare = [
        ratio(
            each["batched"]["direct full"]["requests_per_second"],
            each["bare"]["full"]["requests_per_second"],
        )
        for each in rounds
    ]
    figures = [
        Figure(BARE, statistics.median(bare), ""),
        Figure("load of the comparison", statistics.median(r["rate"] for r in rounds), "/s"),
    ]
    for way in WAYS:
        reports = [each[way] for each in rounds]
        for key in ("p50_ms", "p95_ms", "p99_ms"):
            value = statistics.median(each["same load"][key] for each in reports)
            figures.append(Figure(f"{way}: {key.removesuffix('_ms')}", value, "ms"))
        speed = statistics.median(each["full"]["requests_per_second"] for each in reports)
        start = statistics.median(each["start_seconds"] for each in reports)
        memory = statistics.median(each["mebibytes"] for each in reports)
        figures += [
            Figure(f"{way}: answers", speed, "/s"),
            Figure(f"{way}: start", start, "s"),
            Figure(f"{way}: memory", memory, "MiB"),
        ]
    return figures


def _protocols(protocols: Report) -> list[Figure]:
    return [
        Figure(f"gateway's client over {name}: {key}", report[key], unit)
        for name, report in protocols.items()
        for key, unit in (("p50_ms", "ms"), ("p99_ms", "ms"), ("cpu_ms_per_call", "ms"))
    ]
