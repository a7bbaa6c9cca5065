"""Everything at once: 20,000 requests while parts of the system die, come back and are swapped."""

import asyncio
import collections
import dataclasses
import itertools
import random
import tempfile
import time
from pathlib import Path

import asyncpg
import httpx
import pytest

from benchmarks.postgresql import PostgresqlServer
from configs.errors import EnvironmentSetupError

PLAIN = 7
SWAPPED = 9
NUM_REQUESTS = 20_000
NUM_CALLERS = 24
NUM_BATCH = 3
UNTHROTTLED = "10000000"


@dataclasses.dataclass
class Tally:
    """What the callers were told."""

    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    predicted: dict = dataclasses.field(default_factory=dict)
    opinions: dict = dataclasses.field(default_factory=dict)
    refused: list = dataclasses.field(default_factory=list)

    def add(self, kind, response):
        self.statuses[kind, response.status_code] += 1
        if response.status_code >= 500:
            self.refused.append((kind, response.status_code, response.text[:300]))
        elif response.status_code == 200:
            content = response.json()
            if kind == "image":
                self.keep(content)
            elif kind == "batch":
                assert content["num_errors"] == 1
                for item in content["items"]:
                    if item["result"]:
                        self.keep(item["result"])

    def keep(self, answer):
        assert answer["request_id"] not in self.predicted
        self.predicted[answer["request_id"]] = answer


@pytest.fixture(scope="module")
def database():
    with tempfile.TemporaryDirectory(prefix="loupe-soak-") as folder:
        Path(folder).chmod(0o755)
        try:
            server = PostgresqlServer(Path(folder) / "data").create()
        except EnvironmentSetupError as error:
            pytest.skip(str(error))
        server.start()
        yield server
        if server.is_running:
            server.stop("immediate")


async def call(client, kind, number, photos, tally):
    if kind == "image":
        response = await client.post(
            "/v1/predict", content=photos[number % 2], headers={"Content-Type": "image/jpeg"}
        )
    elif kind == "batch":
        files = [("image", ("a.jpg", data, "image/jpeg")) for data in (*photos, b"no image")]
        response = await client.post("/v1/predict:batch", files=files)
    elif kind == "broken":
        response = await client.post(
            "/v1/predict", content=photos[0][:-40], headers={"Content-Type": "image/jpeg"}
        )
    elif kind == "history":
        response = await client.get("/v1/predictions", params={"limit": 5})
    else:
        request_id, answer = random.choice(list(itertools.islice(tally.predicted.items(), 50)))
        response = await client.post(
            "/v1/feedback", json={"request_id": request_id, "label": answer["label"]}
        )
        if response.status_code == 200:
            tally.opinions[request_id] = answer["label"]
    tally.add(kind, response)


async def run_callers(gateway, key, photos, tally, events):
    """Send every request; start each event when its share of them is out."""
    kinds = ["image"] * 14 + ["batch"] * 2 + ["broken", "broken", "history", "feedback"]
    source = iter(range(NUM_REQUESTS))
    tasks = []
    limits = httpx.Limits(max_connections=NUM_CALLERS)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=gateway.url, headers=headers, limits=limits, timeout=60
    ) as client:

        async def caller():
            for number in source:
                if number in events:
                    tasks.append(asyncio.create_task(asyncio.to_thread(events[number])))
                kind = kinds[number % len(kinds)]
                if kind == "feedback" and not tally.predicted:
                    kind = "image"
                await call(client, kind, number, photos, tally)

        await asyncio.gather(*(caller() for _ in range(NUM_CALLERS)))
        await asyncio.gather(*tasks)


async def stored(url, query):
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


def wait_until_stored(url, count, gateway):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ((found,),) = asyncio.run(stored(url, "SELECT count(*) FROM predictions"))
        if found >= count:
            return
        time.sleep(0.5)
    pytest.fail(f"{found} of {count} predictions were stored: {gateway.log[-2000:]}")


@pytest.mark.timeout(600)
def test_every_request_is_answered_and_every_prediction_stored_once(
    database, make_gateway, serving_server, lite_files, model_folders, draw_photo, encode
):
    lite_model, labels = lite_files
    url = database.make_database("soak")
    gateway = make_gateway(
        DATABASE_URL=url,
        MODEL__GRPC_ADDRESS=serving_server.grpc_address,
        MODEL__REST_URL=f"http://127.0.0.1:{serving_server.rest_port}",
        FALLBACK__POLICY="model",
        FALLBACK__LITE_MODEL_FILE=str(lite_model),
        FALLBACK__LABELS_FILE=str(labels),
        THROTTLE__KEY_PER_SECOND=UNTHROTTLED,
        THROTTLE__KEY_BURST=UNTHROTTLED,
        THROTTLE__TOTAL_PER_SECOND=UNTHROTTLED,
        THROTTLE__TOTAL_BURST=UNTHROTTLED,
        ADMISSION__MAX_WAITING="1000",
        ADMISSION__MAX_WAIT_SECONDS="30",
        DEADLINE_SECONDS="30",
    )
    key = gateway.make_key("predict", "feedback", "read")
    gateway.start()
    photos = [encode(draw_photo(48, 80), "JPEG"), encode(draw_photo(64, 48), "JPEG")]
    tally = Tally()
    share = NUM_REQUESTS // 20
    events = {
        3 * share: serving_server.kill,
        6 * share: serving_server.start,
        10 * share: lambda: database.stop("immediate"),
        13 * share: database.start,
        16 * share: lambda: serving_server.push(model_folders[PLAIN], SWAPPED),
    }
    asyncio.run(run_callers(gateway, key, photos, tally, events))

    # History and feedback ask the database, which was gone for a while; nothing else may fail.
    lost = [each for each in tally.refused if each[0] not in {"history", "feedback"}]
    assert lost == []
    assert sum(tally.statuses.values()) == NUM_REQUESTS
    assert {s for kind, s in tally.statuses if kind in {"image", "batch"}} == {200}
    assert {s for kind, s in tally.statuses if kind == "broken"} == {422}
    assert {s for kind, s in tally.statuses if kind in {"history", "feedback"}} <= {200, 503}
    assert tally.statuses["history", 200] > tally.statuses["history", 503]

    wait_until_stored(url, len(tally.predicted), gateway)
    rows = asyncio.run(
        stored(url, "SELECT request_id, label, route, model_version FROM predictions")
    )
    assert len(rows) == len(tally.predicted)
    for row in rows:
        answer = tally.predicted[row["request_id"]]
        assert (row["label"], row["route"]) == (answer["label"], answer["route"])
        assert row["model_version"] == answer["model_version"]
    versions = collections.Counter(answer["model_version"] for answer in tally.predicted.values())
    assert set(versions) == {0, PLAIN, SWAPPED}
    opinions = asyncio.run(stored(url, "SELECT request_id, label FROM feedback"))
    assert {row["request_id"]: row["label"] for row in opinions} == tally.opinions
    assert gateway.stop() == 0
