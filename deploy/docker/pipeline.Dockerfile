# Every stage of the pipeline, on CPUs. From the repository root:
#   docker build --file deploy/docker/pipeline.Dockerfile --tag loupe-pipeline:0.1.0 \
#       --build-arg GIT_COMMIT="$(git describe --always --abbrev=40 --dirty)" .
# TFX needs glibc 2.39: a base of Debian 13, Ubuntu 24.04 or newer.
ARG PYTHON_IMAGE=python:3.11.14-slim-trixie

FROM ${PYTHON_IMAGE} AS environment
# Some packages publish no wheel; the compiler stays in this stage.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/build.lock requirements/pipeline.lock /locks/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=certificates,target=/run/certificates.pem \
    python -m venv /environment \
    && /environment/bin/pip install --no-cache-dir --require-hashes --requirement /locks/build.lock \
    && /environment/bin/pip install --no-cache-dir --no-compile --no-build-isolation \
        --require-hashes --requirement /locks/pipeline.lock \
    && /environment/bin/pip uninstall --yes pip \
    && /environment/bin/python -m compileall -q -j 0 /environment/lib

FROM ${PYTHON_IMAGE} AS code
COPY configs /app/configs
COPY schema /app/schema
COPY data /app/data
COPY transform /app/transform
COPY trainer /app/trainer
COPY components /app/components
COPY serving /app/serving
COPY pipeline /app/pipeline
RUN python -m compileall -q /app
# The manifest of a pushed model names the commit; there is no clone in here to ask.
ARG GIT_COMMIT=
RUN printf '%s' "${GIT_COMMIT}" > /app/git-commit.txt

FROM ${PYTHON_IMAGE}
# The launcher of Kubeflow Pipelines keeps a task's files in these folders.
RUN groupadd --gid 10001 loupe \
    && useradd --no-create-home --uid 10001 --gid 10001 loupe \
    && install --directory --owner loupe /gcs /s3 /minio /workspace
COPY --from=environment /environment /environment
COPY --from=code /app /app
WORKDIR /app
ENV PATH=/environment/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    LOUPE_WORKSPACE=/workspace
USER 10001
VOLUME /workspace
# Nothing listens: tasks end, and their exit code says how.
HEALTHCHECK NONE
# Kubeflow gives each task the command `python -m pipeline.kubeflow.entrypoint`; by hand this is `loupe`.
ENTRYPOINT ["python", "-m", "pipeline"]
CMD ["--help"]
