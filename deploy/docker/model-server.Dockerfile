# The model server, where tensorflow/serving is not wanted. From the repository root:
#   docker build --file deploy/docker/model-server.Dockerfile --tag loupe-model-server:0.1.0 .
# Like the other image, it serves /models/$MODEL_NAME and takes further flags as arguments.
ARG PYTHON_IMAGE=python:3.11.14-slim-trixie

FROM ${PYTHON_IMAGE} AS environment
COPY requirements/model-server.lock /locks/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=certificates,target=/run/certificates.pem \
    python -m venv /environment \
    && /environment/bin/pip install --no-cache-dir --no-compile --only-binary=:all: \
        --require-hashes --requirement /locks/model-server.lock \
    && /environment/bin/pip uninstall --yes pip \
    && /environment/bin/python -m compileall -q -j 0 /environment/lib

FROM ${PYTHON_IMAGE} AS code
COPY configs /app/configs
COPY schema /app/schema
COPY serving/__init__.py serving/protos.py /app/serving/
COPY serving/model_server /app/serving/model_server
RUN python -m compileall -q /app

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 loupe \
    && useradd --no-create-home --uid 10001 --gid 10001 loupe
COPY --from=environment /environment /environment
COPY --from=code /app /app
WORKDIR /app
ENV PATH=/environment/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MODEL_NAME=loupe
USER 10001
EXPOSE 8500 8501
# TensorFlow's import and the model's loading come before the port opens.
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/healthz', timeout=2)"]
# Of a repeated flag the last counts, so that arguments win over these.
ENTRYPOINT ["sh", "-c", "exec python -m serving.model_server --port=8500 --rest_api_port=8501 \"--model_name=$MODEL_NAME\" \"--model_base_path=/models/$MODEL_NAME\" \"$@\"", "model-server"]
