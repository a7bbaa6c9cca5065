"""Packages and their dependencies; exact versions and hashes are in requirements/*.lock."""

from pathlib import Path

from setuptools import find_packages, setup

PIPELINE = [
    "tfx[kfp]==1.21.0",
    "tensorflow==2.21.*",
    "pip",  # the tfx command asks it what is installed
    "tensorboard",  # keras-tuner imports it in every trial and hides its absence
    "keras-tuner",
    "google-cloud-storage",  # what Beam's own gs:// is made of
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
    "pybase64",  # pictures in JSON: ten times as fast as the standard library's
    "numpy",
    "prometheus-client",
]
# The same with CUDA's libraries, as packages: the image needs no CUDA of its own.
PIPELINE_GPU = [
    "tensorflow[and-cuda]==2.21.*" if name.startswith("tensorflow==") else name for name in PIPELINE
]
GATEWAY = [
    "ai-edge-litert",
    "aiosqlite",
    "alembic",
    "asyncpg",
    "backports-strenum<1.3",  # ai-edge-litert asks for it; pip refuses newer ones on Python 3.11
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
    "pytest-xdist",
    "hypothesis",
    "kfp-kubernetes",  # the messages that the platform document of a compiled pipeline becomes
    "httpx",
    "litserve",  # the other model server that the benchmarks compare with
    "playwright",  # drives the system's Chromium; downloads no browser of its own
    "schemathesis",
    "kubernetes-validate",  # the schemas of Kubernetes, for tests of the manifests
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
        "pipeline-gpu": [*PIPELINE_GPU, *MODEL_SERVER],
        "model-server": MODEL_SERVER,
        "gateway": GATEWAY,
        "dev": [*PIPELINE, *MODEL_SERVER, *GATEWAY, *DEVELOPMENT],
    },
    entry_points={
        "console_scripts": [
            "loupe = pipeline.cli.main:main",
            "loupe-beam-worker = components.beam_worker:main",
        ]
    },
)
