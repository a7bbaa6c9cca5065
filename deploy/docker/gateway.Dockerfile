# The prediction API, without TensorFlow. From the repository root:
#   docker build --file deploy/docker/gateway.Dockerfile --tag loupe-gateway:0.1.0 .
# docs/kubernetes.md says how to pin the base by digest and how pip finds an index of your own.
ARG PYTHON_IMAGE=python:3.11.14-slim-trixie

FROM ${PYTHON_IMAGE} AS environment
COPY requirements/gateway.lock /locks/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=certificates,target=/run/certificates.pem \
    python -m venv /environment \
    && /environment/bin/pip install --no-cache-dir --no-compile --only-binary=:all: \
        --require-hashes --requirement /locks/gateway.lock \
    && /environment/bin/pip uninstall --yes pip setuptools \
    && /environment/bin/python -m compileall -q -j 0 /environment/lib

FROM ${PYTHON_IMAGE} AS code
COPY configs /app/configs
COPY schema /app/schema
COPY data /app/data
COPY serving/__init__.py serving/protos.py /app/serving/
COPY serving/gateway /app/serving/gateway
RUN python -m compileall -q /app

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 loupe \
    && useradd --no-create-home --uid 10001 --gid 10001 loupe \
    && install --directory --owner loupe /state
COPY --from=environment /environment /environment
COPY --from=code /app /app
WORKDIR /app
ENV PATH=/environment/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    LOUPE_GATEWAY_HOST=0.0.0.0 \
    LOUPE_GATEWAY_STATE_FOLDER=/state
USER 10001
VOLUME /state
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/v1/health/live', timeout=2)"]
ENTRYPOINT ["python", "-m", "serving.gateway"]
