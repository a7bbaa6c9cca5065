"""What a user reads when Kubeflow Pipelines refuses, or is not there."""

import contextlib
import datetime
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from configs.errors import ConfigError, UpstreamError, UpstreamTimeoutError
from pipeline.kubeflow import rest

TOKEN = "secret-token-1234567890"
RUN = ("kubeflow", "run", "--data-version", "v1")


@pytest.fixture
def token(kubeflow, monkeypatch):
    monkeypatch.setenv("LOUPE_KUBEFLOW_TOKEN", TOKEN)
    kubeflow.token = TOKEN
    return kubeflow


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def silent_port():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_an_endpoint_where_nothing_listens_fails_in_seconds(kubeflow, loupe):
    began = time.monotonic()
    failed = loupe("kubeflow", "runs", "--endpoint", f"http://127.0.0.1:{free_port()}")
    assert failed.code == UpstreamTimeoutError.exit_code
    assert "cannot be reached at http://127.0.0.1:" in failed.text
    assert "(connection refused)" in failed.text
    assert "kubectl port-forward" in failed.text
    assert "Retry" not in failed.text
    assert "Traceback" not in failed.text
    assert time.monotonic() - began < 5


def test_an_endpoint_with_an_unknown_name(kubeflow, loupe):
    failed = loupe("kubeflow", "runs", "--endpoint", "http://kfp.invalid:8080")
    assert failed.code == UpstreamTimeoutError.exit_code
    assert "no machine is called 'kfp.invalid'" in failed.text


def test_an_endpoint_that_never_answers(kubeflow, loupe, monkeypatch, silent_port):
    monkeypatch.setattr(rest, "READ_SECONDS", 0.2)
    failed = loupe("kubeflow", "runs", "--endpoint", f"http://127.0.0.1:{silent_port}")
    assert failed.code == UpstreamTimeoutError.exit_code
    assert "took the request and did not answer within 0.2 s" in failed.text


@pytest.fixture
def full_port():
    """A port whose queue of connections is full, so that the kernel drops further ones."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


def test_an_endpoint_that_swallows_connections(kubeflow, loupe, monkeypatch, full_port):
    monkeypatch.setattr(rest, "CONNECT_SECONDS", 0.3)
    failed = loupe("kubeflow", "runs", "--endpoint", f"http://127.0.0.1:{full_port}")
    assert failed.code == UpstreamTimeoutError.exit_code
    assert f"nothing answered at 127.0.0.1:{full_port} within 0.3 s" in failed.text


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("localhost:8080", "is 'localhost:8080', expected http:// or https://"),
        ("ftp://host", "expected http:// or https://"),
        ("http://", "expected http:// or https://"),
        ("http://host:port", "expected http:// or https://"),
        ("http://host/#/runs", "expected http:// or https://"),
        ("http://ann:hunter2@host", "holds a user name or password (it is not shown here)"),
    ],
)
def test_an_endpoint_that_is_no_url(kubeflow, loupe, endpoint, message):
    failed = loupe("kubeflow", "runs", "--endpoint", endpoint)
    assert failed.code == ConfigError.exit_code
    assert message in failed.text
    assert "hunter2" not in failed.text


def test_no_endpoint_at_all(loupe, monkeypatch):
    monkeypatch.delenv("LOUPE_KUBEFLOW_ENDPOINT", raising=False)
    failed = loupe("kubeflow", "runs")
    assert failed.code == ConfigError.exit_code
    assert "Set kubeflow.endpoint, LOUPE_KUBEFLOW_ENDPOINT or --endpoint" in failed.text


def test_a_web_page_in_place_of_the_api(kubeflow, loupe):
    kubeflow.plans["GET", ""] = (200, "<!doctype html><html>Sign in</html>", "text/html")
    failed = loupe("kubeflow", "runs")
    assert failed.code == UpstreamError.exit_code
    assert "answers with a web page or text (text/html)" in failed.text
    assert "/pipeline" in failed.text


@pytest.mark.parametrize("body", ["[]", "null", '"ok"', "ok"])
def test_json_that_no_api_of_kubeflow_answers(kubeflow, loupe, body):
    kubeflow.plans["GET", ""] = (200, body, "application/json")
    failed = loupe("kubeflow", "runs")
    assert failed.code == UpstreamError.exit_code
    assert "not as the API of Kubeflow Pipelines does" in failed.text


def test_another_api_behind_the_endpoint(kubeflow, loupe):
    kubeflow.plans["GET", ""] = (200, '{"status": "ok"}', "application/json")
    failed = loupe("kubeflow", "runs")
    assert failed.code == UpstreamError.exit_code
    assert "it is no Kubeflow Pipelines" in failed.text


def test_two_experiments_of_one_name(uploaded, loupe):
    for _ in range(2):
        made = {"experiment_id": uploaded.new_id(), "display_name": "loupe"}
        uploaded.experiments[made["experiment_id"]] = made
    failed = loupe(*RUN)
    assert failed.code == ConfigError.exit_code
    assert "experiment 'loupe' cannot be used" in failed.text
    assert "Set kubeflow.experiment" in failed.text


def test_a_redirect_to_a_login(kubeflow, loupe):
    target = "https://login.example/dex/auth?client_id=x&state=abc"
    kubeflow.plans["GET", ""] = (302, "", "text/html", target)
    failed = loupe("kubeflow", "runs")
    assert failed.code == UpstreamError.exit_code
    assert "sends us to https://login.example, expected an answer" in failed.text
    assert "state=abc" not in failed.text


def test_another_server_behind_the_endpoint(kubeflow, loupe):
    failed = loupe("kubeflow", "runs", "--endpoint", f"{kubeflow.url}/nowhere")
    assert failed.code == UpstreamError.exit_code
    assert "404" in failed.text


def test_a_proxy_page_is_not_repeated(kubeflow, loupe):
    page = "<html><body>502 Bad Gateway nginx</body></html>"
    kubeflow.plans["GET", ""] = (502, page, "text/html")
    failed = loupe("kubeflow", "runs")
    assert "is not ready (502)" in failed.text
    assert "nginx" not in failed.text


def test_an_expired_token(token, loupe, monkeypatch):
    token.token = "another"
    failed = loupe(*RUN)
    assert failed.code == UpstreamError.exit_code
    assert "refused the token (401): it is expired" in failed.text
    assert TOKEN not in failed.text


def test_a_token_that_is_missing(token, loupe, monkeypatch):
    monkeypatch.delenv("LOUPE_KUBEFLOW_TOKEN")
    failed = loupe("kubeflow", "runs")
    assert "wants a token (401), and none was given. Set LOUPE_KUBEFLOW_TOKEN" in failed.text


def test_a_token_file_is_read_before_each_request(token, loupe, monkeypatch, tmp_path):
    monkeypatch.delenv("LOUPE_KUBEFLOW_TOKEN")
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    monkeypatch.setenv("LOUPE_KUBEFLOW_TOKEN_FILE", str(file))
    from configs.load import kubeflow_access_from_environment
    from pipeline.kubeflow.client import connect

    client = connect(kubeflow_access_from_environment())
    token.token = "renewed"
    file.write_text("renewed")
    assert client.list_runs(namespace="kubeflow").runs == []
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        client.list_runs(namespace="kubeflow")


def test_a_token_with_a_line_break_and_two_tokens_are_refused(token, loupe, monkeypatch):
    monkeypatch.setenv("LOUPE_KUBEFLOW_TOKEN", "abc def")
    failed = loupe("kubeflow", "runs")
    assert failed.code == ConfigError.exit_code
    assert "has blanks" in failed.text
    assert "abc def" not in failed.text
    monkeypatch.setenv("LOUPE_KUBEFLOW_TOKEN_FILE", "/x")
    assert "both LOUPE_KUBEFLOW_TOKEN" in loupe("kubeflow", "runs").text


def test_a_token_in_an_answer_is_not_repeated(token, loupe):
    token.refuse("GET", "pipelines", 500, f"bad header: Bearer {TOKEN}")
    failed = loupe("kubeflow", "runs")
    assert "bad header: Bearer (token)" in failed.text
    assert TOKEN not in failed.text
    token.plans["GET", "pipelines"] = (500, f"plain {TOKEN}", "text/plain")
    assert "plain (token)" in loupe("kubeflow", "runs").text


def test_a_namespace_without_rights(uploaded, loupe):
    uploaded.is_multi_user = True
    for pipeline in uploaded.pipelines.values():
        pipeline["namespace"] = "theirs"
    failed = loupe(*RUN, "--namespace", "theirs")
    assert failed.code == UpstreamError.exit_code
    assert "gives you no right to do this in namespace 'theirs' (403)" in failed.text
    assert "User 'ann' is not authorized" in failed.text
    assert uploaded.changes() == []


def test_a_namespace_that_is_missing(kubeflow, loupe):
    kubeflow.is_multi_user = True
    failed = loupe("kubeflow", "runs", "-s", "kubeflow.namespace=")
    assert failed.code == ConfigError.exit_code
    assert "no namespace was given. Set kubeflow.namespace" in failed.text


def test_a_quota_that_is_used_up(uploaded, loupe):
    uploaded.refuse(
        "POST",
        "/runs",
        500,
        "Failed to create a run: InternalServerError: Failed to create a workflow for (loupe-x): "
        'workflows.argoproj.io "loupe-x" is forbidden: exceeded quota: gpus, requested: '
        "count/workflows.argoproj.io=1, used: 5, limited: 5",
    )
    failed = loupe(*RUN)
    assert failed.code == UpstreamError.exit_code
    assert "the quota of namespace 'kubeflow' is used up" in failed.text
    assert "used: 5, limited: 5" in failed.text


def test_what_the_server_alone_knows_is_wrong(uploaded, loupe):
    uploaded.refuse("POST", "/runs", 400, "Failed to create a run:\n" + "cause " * 200 + "the end")
    failed = loupe(*RUN)
    assert "refused the request (400): ..." in failed.text
    assert "the end." in failed.text
    assert len(failed.text) < 600


def test_an_upload_by_somebody_without_rights_leaves_nothing(kubeflow, compiled_file, loupe):
    body = '{"error_message": "Failed to create a pipeline version", "error_details": "stack"}'
    kubeflow.plans["POST", "upload_version"] = (400, body, "text/plain")
    failed = loupe("kubeflow", "upload", "--file", compiled_file, "--version", "git-1")
    assert failed.code == UpstreamError.exit_code
    assert "Failed to create a pipeline version." in failed.text
    assert "stack" not in failed.text
    assert not kubeflow.pipelines


@pytest.fixture
def certificate(tmp_path):
    """PEM files of a key and of a certificate that no authority signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509
        .CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "key.pem", tmp_path / "ca.pem"
    paths[0].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    paths[1].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return paths


@pytest.fixture
def tls_port(certificate):
    """A port that speaks TLS with that certificate, and answers every request alike."""
    key, ca = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, key)
    body = b'{"multi_user": false}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as secure:
                        secure.recv(65536)
                        secure.sendall(answer + b"Connection: close\r\n\r\n" + body)
                except OSError:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_certificate_that_nobody_trusts_until_it_is_named(
    kubeflow, loupe, monkeypatch, tls_port, certificate
):
    words = ("kubeflow", "runs", "--endpoint", f"https://localhost:{tls_port}")
    failed = loupe(*words)
    assert failed.code == UpstreamTimeoutError.exit_code
    assert "its certificate is not trusted (self" in failed.text
    assert "name it in LOUPE_KUBEFLOW_CA_FILE" in failed.text
    monkeypatch.setenv("LOUPE_KUBEFLOW_CA_FILE", str(certificate[1]))
    assert "There are no runs yet" in loupe(*words).text
    monkeypatch.setenv("LOUPE_KUBEFLOW_CA_FILE", "/no/such.pem")
    failed = loupe(*words)
    assert failed.code == ConfigError.exit_code
    assert "LOUPE_KUBEFLOW_CA_FILE is '/no/such.pem', which is no file" in failed.text


def test_https_to_a_port_that_speaks_http(kubeflow, loupe):
    failed = loupe("kubeflow", "runs", "--endpoint", kubeflow.url.replace("http", "https"))
    assert failed.code == UpstreamTimeoutError.exit_code
    assert "it does not speak TLS" in failed.text
