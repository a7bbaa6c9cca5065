"""gRPC over TLS: certificates made here, a real server process, real clients."""

import datetime
import shutil
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from configs.errors import ConfigError
from serving.model_server.flags import ServerFlags
from serving.model_server.tls import read_credentials


class Party:
    """A key, its certificate, and the PEM texts of both."""

    def __init__(self, name, issuer=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = issuer or self
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509
            .CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(signer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), True)
            .sign(signer.key, hashes.SHA256())
        )

    def key_pem(self, encryption=None):
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            encryption or serialization.NoEncryption(),
        ).decode()

    def cert_pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def authority():
    return Party("authority")


@pytest.fixture(scope="module")
def party(authority):
    return Party("server", authority)


def write_config(folder, *, key, cert, authority="", client_verify=False):
    """The file as people write it: PEM texts pasted between quotes, line breaks and all."""
    file = folder / "ssl.config"
    file.write_text(
        f'server_key: "{key}"\nserver_cert: "{cert}"\ncustom_ca: "{authority}"\n'
        f"client_verify: {str(client_verify).lower()}\n"
    )
    return file


def read(file):
    return read_credentials(ServerFlags(model_base_path="/m", ssl_config_file=str(file)))


def predict(server, credentials):
    options = [("grpc.enable_retries", 0)]
    address = f"localhost:{server.port}"
    channel = (
        grpc.secure_channel(address, credentials, options)
        if credentials
        else grpc.insecure_channel(address, options)
    )
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([1])))
    with channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=10)
    return list(response.outputs["y"].float_val)


def assert_refused(server, credentials):
    with pytest.raises(grpc.RpcError) as caught:
        predict(server, credentials)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def start(tmp_path, launch, affine_folders):
    def start(config: Path):
        shutil.copytree(affine_folders[2], tmp_path / "half" / "1")
        server = launch(
            "--model_name=half",
            f"--model_base_path={tmp_path / 'half'}",
            f"--ssl_config_file={config}",
        )
        with server.client() as client:
            client.wait_until_available("half", 120, server.is_alive)
        return server

    return start


def test_clients_must_trust_the_server_and_speak_tls(tmp_path, start, authority, party):
    config = write_config(tmp_path, key=party.key_pem(), cert=party.cert_pem())
    server = start(config)
    assert predict(server, grpc.ssl_channel_credentials(authority.cert_pem().encode())) == [2.5]
    assert_refused(server, grpc.ssl_channel_credentials(Party("other").cert_pem().encode()))
    assert_refused(server, None)
    assert server.post("/v1/models/half:predict", {"inputs": [1]})[0] == 200
    assert server.stop() == 0


def test_mutual_tls_lets_in_only_clients_of_the_authority(tmp_path, start, authority, party):
    config = write_config(
        tmp_path,
        key=party.key_pem(),
        cert=party.cert_pem(),
        authority=authority.cert_pem(),
        client_verify=True,
    )
    server = start(config)

    def credentials(client):
        return grpc.ssl_channel_credentials(
            authority.cert_pem().encode(),
            client.key_pem().encode() if client else None,
            client.cert_pem().encode() if client else None,
        )

    assert predict(server, credentials(Party("client", authority))) == [2.5]
    assert_refused(server, credentials(None))
    assert_refused(server, credentials(Party("stranger")))
    assert predict(server, credentials(Party("client again", authority))) == [2.5]
    assert server.stop() == 0


def test_off_without_the_flag():
    assert read_credentials(ServerFlags(model_base_path="/m")) is None


def test_files_that_cannot_be_used(tmp_path, authority, party):
    key, cert = party.key_pem(), party.cert_pem()
    encrypted = party.key_pem(serialization.BestAvailableEncryption(b"x"))
    cases = {
        "has no server_key, expected a PEM text": {"key": "", "cert": cert},
        "has no server_cert, expected a PEM text": {"key": key, "cert": ""},
        "has client_verify and no custom_ca": {"key": key, "cert": cert, "client_verify": True},
        "server_key and server_cert cannot be used: .*KEY_VALUES_MISMATCH": {
            "key": key,
            "cert": authority.cert_pem(),
        },
        "server_key and server_cert cannot be used: .* Expected an unencrypted": {
            "key": encrypted,
            "cert": cert,
        },
        "server_key and server_cert cannot be used: .*PEM": {"key": "x", "cert": "x"},
        "custom_ca cannot be used: .* Expected PEM certificates": {
            "key": key,
            "cert": cert,
            "authority": "x",
        },
    }
    for message, texts in cases.items():
        with pytest.raises(ConfigError, match=f"--ssl_config_file '.*{message}") as caught:
            read(write_config(tmp_path, **texts))
        assert "PRIVATE" not in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(ConfigError, match=r"--ssl_config_file '/no/file' cannot be read: "):
        read("/no/file")


def test_tls_and_alts_exclude_each_other(tmp_path):
    with pytest.raises(ConfigError, match="--use_alts_credentials cannot be honoured"):
        ServerFlags(model_base_path="/m", ssl_config_file="/f", use_alts_credentials=True)
