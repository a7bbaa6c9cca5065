"""The console on a real server and a real database, with traffic of one afternoon."""

import asyncio
import base64
import contextlib
import datetime
import io
import random
import re
import threading
import time

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image, ImageDraw

from serving.gateway.api_types import (
    ClassProbability,
    FeedbackAnswer,
    ModelsAnswer,
    ModelVersion,
    PredictionAnswer,
)
from serving.gateway.auth.authenticator import Authenticator
from serving.gateway.auth.key_ring import KeyRing
from serving.gateway.auth.key_store import KeyStore
from serving.gateway.console.parts import ConsoleParts, Vitals
from serving.gateway.console.router import make_router
from serving.gateway.console.sessions import Sessions
from serving.gateway.console.sign_in_limit import SignInLimit
from serving.gateway.console.statistics import StatisticsReader
from serving.gateway.console.status_log import StatusLog
from serving.gateway.database.engine import create_engine, writing
from serving.gateway.database.feedback import save_feedback
from serving.gateway.database.migrate import migrate
from serving.gateway.database.predictions import write_records
from serving.gateway.database.rules import store_rules
from serving.gateway.observability.metrics import GatewayMetrics
from serving.gateway.observability.middleware import get_request_id, install_observability
from serving.gateway.observability.tracing import Tracing
from serving.gateway.records import ReviewReason, Route
from serving.gateway.rules import BusinessRules
from serving.gateway.scopes import Scope
from serving.gateway.settings import ThrottleSettings, UploadSettings
from serving.gateway.uploads.bodies import read_uploads
from serving.gateway.uploads.images import check_image, strip_metadata

LABELS = ["bottle", "bowl", "jar", "mug", "plate", "teapot"]
VERSIONS = (1795268425, 1795181002)
SCRIPT_LABEL = "<script>document.title='owned'</script>"
KEY_SCOPES = {"admin": {Scope.ADMIN}, "reader": {Scope.READ, Scope.PREDICT}, "viewer": {Scope.READ}}
PEPPER = b"a pepper of the tests, 32 bytes.."


def draw_picture(colour, *, side=160, image_format="PNG"):
    """A picture of one shape on a plain ground."""
    image = Image.new("RGB", (side, side), "#d8d4cc")
    draw = ImageDraw.Draw(image)
    draw.ellipse((side * 0.2, side * 0.25, side * 0.8, side * 0.85), fill=colour)
    draw.rectangle((side * 0.35, side * 0.1, side * 0.65, side * 0.4), fill=colour)
    content = io.BytesIO()
    image.save(content, image_format)
    return content.getvalue()


@pytest.fixture(name="draw_picture", scope="session")
def draw_picture_fixture():
    """Function of a colour to a picture."""
    return draw_picture


async def seed(engine, make_record, count=900):
    """Two versions, a fallback, slow minutes, feedback and a few pictures that wait."""
    chance = random.Random(4)
    now = datetime.datetime.now(datetime.UTC)
    records = []
    for place in range(count):
        number = place * 3000 / count
        age = datetime.timedelta(seconds=number * 1.1)
        version = VERSIONS[0] if chance.random() < 0.2 + 0.7 * (number < 1200) else VERSIONS[1]
        route = Route.STABLE if version == VERSIONS[0] else Route.CANARY
        if 1500 < number < 1560:
            version, route = 0, Route.FALLBACK_MODEL
        label = chance.choice(LABELS)
        probability = min(chance.betavariate(8, 1.6), 0.999)
        records.append(
            make_record(
                created_at=now - age,
                model_version=version,
                route=route,
                label=label,
                model_label=label,
                probability=probability,
                latency_ms=chance.lognormvariate(2.6, 0.45) * (4 if 800 < number < 900 else 1),
            )
        )
    colours = {"mug": "#b5482f", "bowl": "#2f6fb5", "jar": "#3c8a4e", "plate": "#7a4fa3"}
    for place, (label, colour) in enumerate(colours.items()):
        top_k = [{"label": label, "probability": 0.47}, {"label": "bottle", "probability": 0.41}]
        records.append(
            make_record(
                created_at=now - datetime.timedelta(minutes=50 - place),
                label=label,
                model_label=label,
                probability=0.47,
                top_k=top_k,
                needs_review=True,
                review_reasons=["model_uncertain", "small_margin"][: place % 2 + 1],
                review_image=draw_picture(colour),
            )
        )
    hostile = make_record(
        created_at=now - datetime.timedelta(minutes=40),
        label=SCRIPT_LABEL,
        model_label=SCRIPT_LABEL,
        needs_review=True,
        review_reasons=["denied_label"],
        top_k=[{"label": SCRIPT_LABEL, "probability": 0.9}],
    )
    async with writing(engine) as session:
        await write_records(session, [*records, hostile])
    judged = [(record, record.label) for record in records[:60]]
    judged += [(record, "teapot") for record in records[60:66]]
    async with writing(engine) as session:
        for record, label in judged:
            await save_feedback(
                session, request_id=record.request_id, key_id=record.key_id, label=label
            )
        await store_rules(session, BusinessRules(), source="defaults")
        rules = BusinessRules.model_validate({
            "review": {"min_probability": 0.6, "min_margin": 0.1},
            "deny": ["<b>knife</b>"],
            "default_answer": "other",
        })
        await store_rules(session, rules, source="rules.yaml")


@contextlib.asynccontextmanager
async def run_console(app, folder, make_record, drift_report_file, is_off=False):
    """Fill the database and put the console's parts together."""
    url = f"sqlite+aiosqlite:///{folder / 'gateway.db'}"
    await migrate(url)
    engine = create_engine(url)
    await seed(engine, make_record)
    store = KeyStore(engine, PEPPER)
    app.state.keys = {
        name: (await store.create(name, scopes, actor="tests")).text
        for name, scopes in KEY_SCOPES.items()
    }
    app.state.key_store = store
    app.state.call = asyncio.get_running_loop()
    key_ring = KeyRing(store, PEPPER, refresh_seconds=0.1)
    await key_ring.start()
    counts = {"2xx": 0, "4xx": 0, "5xx": 0}
    statuses = StatusLog(folder / "statuses", lambda: counts)
    for step in range(240):
        counts["2xx"] += 12 + step % 7
        counts["4xx"] += int(step % 11 == 0) * 3
        counts["5xx"] += int(150 < step < 156) * 4
        statuses.sample(time.time() - 3600 + step * 15)
    app.state.console = ConsoleParts(
        sessions=Sessions(b"a secret of the tests", is_secure=False),
        authenticator=Authenticator(key_ring, is_off=is_off),
        sign_in_limit=SignInLimit(
            ThrottleSettings(sign_in_per_minute=100_000, sign_in_total_per_minute=100_000)
        ),
        engine=engine,
        predict=make_predict(engine, make_record),
        explain=explain,
        send_feedback=make_feedback(engine),
        describe_models=describe_models,
        list_labels=lambda: LABELS,
        statistics=StatisticsReader(engine),
        statuses=statuses,
        read_vitals=lambda: Vitals("closed", 0),
        max_image_bytes=UploadSettings().max_image_bytes,
        drift_report_file=drift_report_file,
    )
    yield
    await key_ring.stop()
    await engine.dispose()


def make_predict(engine, make_record):
    async def predict(request, principal):
        """Answer by the picture's mean colour: reddish is a mug."""
        (upload,) = await read_uploads(request, UploadSettings(), many=False)
        checked = await asyncio.to_thread(check_image, upload, UploadSettings())
        pixels = Image.open(io.BytesIO(checked.data)).convert("RGB").resize((1, 1))
        red, green, blue = pixels.tobytes()
        label = "mug" if red > max(green, blue) + 20 else SCRIPT_LABEL if green > red else "bowl"
        shares = {label: 0.62, "teapot": 0.21, "jar": 0.09, "plate": 0.05, "bottle": 0.03}
        top_k = [{"label": name, "probability": share} for name, share in shares.items()]
        record = make_record(
            request_id=get_request_id(request),
            key_id=principal.key_id,
            label=label,
            model_label=label,
            probability=0.62,
            top_k=top_k,
            needs_review=True,
            review_reasons=["small_margin"],
            review_image=await asyncio.to_thread(strip_metadata, checked),
        )
        async with writing(engine) as session:
            await write_records(session, [record])
        return PredictionAnswer(
            request_id=record.request_id,
            label=label,
            probability=0.62,
            top_k=[ClassProbability.model_validate(entry) for entry in top_k],
            model_version=VERSIONS[0],
            route=Route.STABLE,
            needs_review=True,
            review_reasons=[ReviewReason.MARGIN],
        )

    return predict


async def explain(request, principal):
    await read_uploads(request, UploadSettings(), many=False)
    return draw_picture("#ff2200", image_format="PNG")


def make_feedback(engine):
    async def send_feedback(request, feedback, principal):
        image = base64.b64decode(feedback.image) if feedback.image else None
        async with writing(engine) as session:
            was_right = await save_feedback(
                session,
                request_id=feedback.request_id,
                key_id=principal.key_id,
                label=feedback.label,
                comment=feedback.comment,
                image=image,
            )
        return FeedbackAnswer(request_id=feedback.request_id, was_right=was_right)

    return send_feedback


async def describe_models():
    versions = [
        ModelVersion(version=VERSIONS[0], state="AVAILABLE", share=0.7),
        ModelVersion(version=VERSIONS[1], state="AVAILABLE", share=0.3),
        ModelVersion(version=1795090000, state="END", error="<i>no room</i>", share=0),
    ]
    return ModelsAnswer(
        name="loupe", label="", versions=versions, breaker="closed", rules_version=2
    )


@pytest.fixture
def drift_report_file(tmp_path):
    return tmp_path / "drift.json"


class Console:
    """A running console and ways to use it."""

    def __init__(self, url, app):
        self.url = url
        self.app = app
        self.parts = app.state.console
        self.keys = app.state.keys
        self._call = app.state.call

    def client(self, key_name=""):
        """A client; signed in with one of the keys, where it is named."""
        client = httpx.Client(base_url=self.url, headers={"accept": "text/html"})
        if key_name:
            page = client.get("/console/sign-in")
            fields = {"form_token": find_token(page.text), "key": self.keys[key_name]}
            answer = client.post("/console/sign-in", data=fields)
            assert answer.status_code == 303, answer.text
        return client

    def run(self, coroutine):
        """Run a coroutine in the server's own loop, where the database is."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._call).result(30)


def find_token(page):
    return re.search(r'name="form[_-]token" (?:value|content)="([0-9a-f]{64})"', page).group(1)


@pytest.fixture
def console(tmp_path, make_record, drift_report_file):
    """A running console of one test."""
    with serve(tmp_path, make_record, drift_report_file) as console:
        yield console


@pytest.fixture(scope="module")
def shared_console(tmp_path_factory, make_record):
    """A running console for tests that change nothing."""
    folder = tmp_path_factory.mktemp("console")
    with serve(folder, make_record, folder / "drift.json") as console:
        yield console


@contextlib.contextmanager
def serve(folder, make_record, drift_report_file, *, is_off=False):
    app = FastAPI(
        openapi_url=None,
        lifespan=lambda app: run_console(app, folder, make_record, drift_report_file, is_off),
    )
    app.include_router(make_router())
    metrics = GatewayMetrics()
    install_observability(
        app, metrics=metrics, tracing=Tracing(None), max_body_bytes=UploadSettings().max_body_bytes
    )
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="on")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    assert server.started
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Console(f"http://127.0.0.1:{port}", app)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def development_console(tmp_path, make_record, drift_report_file):
    """A running console whose authentication is off."""
    with serve(tmp_path, make_record, drift_report_file, is_off=True) as console:
        yield console
