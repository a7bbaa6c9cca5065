"""Packages and their dependencies; exact versions and hashes are in requirements/*.lock."""

from pathlib import Path

from setuptools import find_packages, setup

PIPELINE = [
    "tfx[kfp]==1.21.0",
    "tensorflow==2.21.*",
    "pip",  # the tfx command asks it what is installed
    "tensorboard",  # keras-tuner imports it in every trial and hides its absence
    "keras-tuner",
    "pillow",
    "numpy",
    "pyyaml",
    "typer",
    "rich",
    "psutil",
]
MODEL_SERVER = [
    "tensorflow==2.21.*",
    "tensorflow-serving-api",
    "grpcio",
    "grpcio-health-checking",
    "grpcio-reflection",
    "uvicorn",
    "uvloop",
    "httptools",
    "orjson",
    "numpy",
    "prometheus-client",
]
GATEWAY = [
    "ai-edge-litert",
    "aiosqlite",
    "alembic",
    "asyncpg",
    "fastapi",
    "grpcio",
    "httptools",
    "jinja2",
    "numpy",
    "opentelemetry-api",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-sdk",
    "orjson",
    "pillow",
    "prometheus-client",
    "protobuf",
    "pydantic-settings",
    "pyjwt[crypto]",
    "python-multipart",
    "pyyaml",
    "redis",
    "rich",
    "sqlalchemy[asyncio]",
    "structlog",
    "typer",
    "uvicorn",
    "uvloop",
]
DEVELOPMENT = [
    "pytest",
    "pytest-timeout",
    "hypothesis",
    "kfp-kubernetes",  # the messages that the platform document of a compiled pipeline becomes
    "httpx",
    "litserve",  # the other model server that the benchmarks compare with
    "playwright",  # drives the system's Chromium; downloads no browser of its own
    "schemathesis",
    "ruff",
    "pyright[nodejs]",
]

setup(
    name="loupe",
    version="0.1.0",
    description="From a folder of labelled images to a served, monitored classifier.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11,<3.12",
    packages=find_packages(exclude=["tests*", "benchmarks*", "tools*"]),
    package_data={
        "configs": ["*.yaml"],
        "schema": ["*.pbtxt"],
        "serving.gateway.console": ["templates/*.html", "static/*"],
    },
    extras_require={
        "pipeline": [*PIPELINE, *MODEL_SERVER],
        "model-server": MODEL_SERVER,
        "gateway": GATEWAY,
        "dev": [*PIPELINE, *MODEL_SERVER, *GATEWAY, *DEVELOPMENT],
    },
    entry_points={"console_scripts": ["loupe = pipeline.cli.main:main"]},
)
