"""What the model server costs beside TensorFlow in process, and beside a plain web application."""

import dataclasses
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks.figures import Figure, Result, mebibytes, ratio
from benchmarks.images_60k import make_images
from benchmarks.runs import BenchmarkSettings, fresh_folder
from benchmarks.serving_model import (
    FORMS,
    MODEL_NAME,
    PEER_FILE,
    PROTOCOLS,
    SIDE_PIXELS,
    VERSIONS,
)
from benchmarks.serving_peer import PEERS, PREDICT_PATH
from benchmarks.serving_processes import (
    Server,
    batching_flags,
    model_server,
    peer_server,
    run_step,
)
from configs.errors import StageError
from serving.model_server.client import ModelServerClient

MAX_COST_RATIO: Final = 1 / 0.75
MAX_P99_MS: Final = 75
MAX_OVERHEAD_MS: Final = 1.5
MAX_COST_OF_PEERS: Final = {"fastapi": 1 / 5, "litserve": 1.0}
MAX_GROWTH: Final = 1.1
DRAWN_IMAGES: Final = 400

_PREDICT_PATH: Final = f"/v1/models/{MODEL_NAME}:predict"
_RELOAD_METHOD: Final = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
_SWAP_SECONDS: Final = 30
_POLL_SECONDS: Final = 0.01

Report = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes:
        seconds: length of each measurement.
        num_clients: clients of the throughput figures.
        num_swaps: version swaps through which memory is watched.
    """

    seconds: float = 5.0
    num_clients: int = 64
    num_swaps: int = 200


def serving(settings: BenchmarkSettings) -> Result:
    """Compare the served reference CNN with in-process calls and other servers; watch its memory.

    Args:
        settings: where images are, and repeats.

    Returns:
        Costs as multiples of the in-process call and of the peer, latencies, growth of memory.

    Raises:
        StageError: a server or a step of the measurement failed.
    """
    return measure_serving(settings, Plan())


def measure_serving(settings: BenchmarkSettings, plan: Plan) -> Result:
    """Do what `serving` does, as long as told.

    Args:
        settings: where images are, and repeats.
        plan: how much to measure.

    Returns:
        As `serving`.

    Raises:
        StageError: a server or a step of the measurement failed.
    """
    flags = batching_flags()
    with fresh_folder(settings) as folder:
        images = images_of(settings)
        made = run_step(folder, "serving_model", [str(folder), "--images", str(images)])
        rounds = [_measure_round(folder, plan, flags) for _ in range(settings.repeats)]
        with model_server(folder / MODEL_NAME, folder / "forms.log", flags) as server:
            forms = _measure_forms(folder, server, plan)
        memory = _measure_memory(folder, plan)
    details = {
        "plan": dataclasses.asdict(plan),
        "images": {**made, "folder": images.name},
        "batching": flags or "the server refuses --enable_batching: every request runs alone",
        "rounds": rounds,
        "forms": forms,
        "memory": memory,
    }
    figures = [*_figures(rounds, plan, is_batched=bool(flags)), *_memory_figures(memory)]
    return Result("serving", [*_goals_first(figures), *_table(forms)], details)


def images_of(settings: BenchmarkSettings) -> Path:
    """Find or draw the images that requests are made of.

    Args:
        settings: where photos are, and where images are kept.

    Returns:
        Folder of the shared photos; without them, of small drawn JPEGs.
    """
    photos = settings.shared_data / "clothing"
    if photos.is_dir():
        return photos.resolve()
    settings.folder.mkdir(parents=True, exist_ok=True)
    return make_images(settings.folder / f"bench-images-{DRAWN_IMAGES}", DRAWN_IMAGES)


def _measure_round(folder: Path, plan: Plan, flags: list[str]) -> dict[str, Any]:
    # In process before and after: the machine's speed drifts, and the mean drifts along.
    before = _measure_in_process(folder, plan)
    report: dict[str, Any] = {}
    with model_server(folder / MODEL_NAME, folder / "server.log", flags) as server:
        for protocol in PROTOCOLS:
            for num_clients in (1, plan.num_clients):
                clients = _load(folder, server, protocol, "jpeg", plan, num_clients)
                report[f"{protocol} {num_clients}"] = clients
    after = _measure_in_process(folder, plan)
    models = {"fastapi": PEER_FILE, "litserve": f"{MODEL_NAME}/{VERSIONS[0]}"}
    for name, model in models.items():
        with peer_server(name, folder / model, SIDE_PIXELS, folder / f"{name}.log") as peer:
            report[name] = _load(folder, peer, "rest", "jpeg", plan, plan.num_clients, PREDICT_PATH)
    return {**report, "in process": {"before": before, "after": after}}


def _measure_in_process(folder: Path, plan: Plan) -> dict[str, Any]:
    model = folder / MODEL_NAME / str(VERSIONS[0])
    arguments = [str(model), "--images", str(folder / "images"), "--seconds", str(plan.seconds)]
    return run_step(folder, "serving_inprocess", arguments)


def _load(
    folder: Path,
    server: Server,
    protocol: str,
    form: str,
    plan: Plan,
    num_clients: int,
    path: str = _PREDICT_PATH,
) -> dict[str, Any]:
    port = server.grpc_port if protocol == "grpc" else server.rest_port
    arguments = [protocol, "--port", str(port), "--path", path]
    arguments += ["--requests", str(folder / "requests" / f"{protocol}-{form}")]
    arguments += ["--clients", str(num_clients), "--seconds", str(plan.seconds)]
    return run_step(folder, "serving_clients", arguments)


def _measure_forms(folder: Path, server: Server, plan: Plan) -> dict[str, Any]:
    return {
        f"{protocol} {form}": _load(folder, server, protocol, form, plan, 1)
        for protocol in PROTOCOLS
        for form in FORMS
    }


def _measure_memory(folder: Path, plan: Plan) -> dict[str, Any]:
    requests = {version: (folder / f"reload-{version}.bin").read_bytes() for version in VERSIONS}
    with (
        model_server(folder / MODEL_NAME, folder / "swaps.log", ()) as server,
        server.client() as client,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        reload = channel.unary_unary(_RELOAD_METHOD)
        course = [server.resident_bytes()]
        for number in range(plan.num_swaps):
            version = VERSIONS[number % len(VERSIONS)]
            reload(requests[version], timeout=_SWAP_SECONDS)
            _wait_until_alone(client, version)
            course.append(server.resident_bytes())
    # All of it is kept: growth that stops is memory in reserve, growth that goes on is a leak.
    return {"swaps": plan.num_swaps, "before": course[0], "after": course[-1], "course": course}


def _wait_until_alone(client: ModelServerClient, version: int) -> None:
    deadline = time.monotonic() + _SWAP_SECONDS
    while True:
        states = {report.version: report.state for report in client.get_status(MODEL_NAME)}
        if {v: state for v, state in states.items() if state != "END"} == {version: "AVAILABLE"}:
            return
        if time.monotonic() > deadline:
            raise StageError(
                f"version {version} did not replace the others within {_SWAP_SECONDS} s: {states}."
            )
        time.sleep(_POLL_SECONDS)


def _figures(rounds: list[dict[str, Any]], plan: Plan, *, is_batched: bool) -> list[Figure]:
    note = "" if is_batched else " (not batched)"
    figures: list[Figure] = []
    for protocol in PROTOCOLS:
        many = f"{protocol} {plan.num_clients}"
        costs = [ratio(_limit(each), each[many]["requests_per_second"]) for each in rounds]
        overheads = [each[f"{protocol} 1"]["p50_ms"] - _single(each) for each in rounds]
        where = f"{protocol}, {plan.num_clients} clients{note}"
        figures += [
            Figure(
                f"{where}: seconds, times in process with full batches",
                statistics.median(costs),
                "",
                MAX_COST_RATIO,
            ),
            Figure(f"{where}: p99", _median(rounds, many, "p99_ms"), "ms", MAX_P99_MS),
            Figure(
                f"{protocol}, 1 client: p50 beyond the call in process",
                statistics.median(overheads),
                "ms",
                MAX_OVERHEAD_MS,
            ),
            *(
                Figure(
                    f"{where}: seconds, times {title}",
                    statistics.median(_peer_cost(each, many, peer) for each in rounds),
                    "",
                    MAX_COST_OF_PEERS[peer],
                )
                for peer, title in PEERS.items()
            ),
            Figure(f"{where}: answers", _median(rounds, many, "requests_per_second"), "/s"),
        ]
    return [
        *figures,
        Figure("in process, full batches", statistics.median(map(_limit, rounds)), "images/s"),
        Figure("in process, 1 image: p50", statistics.median(map(_single, rounds)), "ms"),
        *(
            Figure(f"{title}: answers", _median(rounds, peer, "requests_per_second"), "/s")
            for peer, title in PEERS.items()
        ),
    ]


def _limit(measured: Report) -> float:
    return statistics.mean(side["images_per_second"] for side in measured["in process"].values())


def _single(measured: Report) -> float:
    return statistics.mean(side["single_p50_ms"] for side in measured["in process"].values())


def _peer_cost(measured: Report, many: str, peer: str) -> float:
    return ratio(measured[peer]["requests_per_second"], measured[many]["requests_per_second"])


def _median(rounds: list[dict[str, Any]], name: str, key: str) -> float:
    return statistics.median(each[name][key] for each in rounds)


def _memory_figures(memory: dict[str, Any]) -> list[Figure]:
    name = f"memory after {memory['swaps']} version swaps"
    return [
        Figure(f"{name}, times before", ratio(memory["after"], memory["before"]), "", MAX_GROWTH),
        Figure(name, mebibytes(memory["after"]), "MiB"),
    ]


def _goals_first(figures: list[Figure]) -> list[Figure]:
    return sorted(figures, key=lambda figure: figure.goal is None)


def _table(forms: dict[str, Any]) -> list[Figure]:
    return [
        Figure(f"{name}, 1 client: {key.removesuffix('_ms')}", report[key], "ms")
        for name, report in forms.items()
        for key in ("p50_ms", "p99_ms")
    ]
