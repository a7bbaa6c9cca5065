"""Leads every way to Google Cloud Storage to the fake: a proxy with an authority of its own.

TensorFlow's file system has fixed hosts; so the fake stands in the way instead of at an address.
"""

import datetime
import http.server
import json
import ssl
import threading
import urllib.parse
from contextlib import contextmanager

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.buckets.fake_storage import Request

HOSTS = (
    "storage.googleapis.com",
    "www.googleapis.com",
    "oauth2.googleapis.com",
    "iamcredentials.googleapis.com",
)


@contextmanager
def serving(storage, folder):
    """Serve the fake on a free port while a block runs.

    Args:
        storage: the FakeStorage to serve.
        folder: where the authority's certificate and the account's key are written.

    Yields:
        Environment variables that lead a process there, with the key of an account.
    """
    ca_file, context = _certificates(folder)
    handler = type("Handler", (_Handler,), {"storage": storage, "context": context})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    proxy = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield {
            "https_proxy": proxy,
            "HTTPS_PROXY": proxy,
            "no_proxy": "127.0.0.1,localhost",
            "CURL_CA_BUNDLE": str(ca_file),
            "REQUESTS_CA_BUNDLE": str(ca_file),
            "GOOGLE_APPLICATION_CREDENTIALS": str(_account_key(folder)),
            "NO_GCE_CHECK": "true",
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True  # a handshake of several packets would wait 40 ms
    host = ""

    def do_CONNECT(self):
        self.host = self.path.partition(":")[0]
        if self.host not in HOSTS:
            self.send_error(403, f"the fake does not stand for {self.host}")
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = self.connection.makefile("wb", self.wbufsize)
        self.close_connection = False

    def handle_storage(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = self._read_body()
        answer = self.storage.answer(
            Request(self.command, self.host, url.path, query, self.headers, body)
        )
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = handle_storage  # noqa: N815

    def handle_expect_100(self):  # TensorFlow's client waits a second for it
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def _read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):  # the client left first
            return
        finally:
            if isinstance(self.connection, ssl.SSLSocket):
                self.connection.close()

    def log_message(self, *args):
        pass


def _certificates(folder):
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The fake's authority")])
    hosts = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
    ca = _sign(ca_name, ca_name, ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=None))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTS[0])])
    certificate = _sign(name, ca_name, key, ca_key, hosts)
    ca_file, chain_file = folder / "authority.pem", folder / "server.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    chain_file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM) + _private_text(key)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain_file)
    return ca_file, context


def _sign(subject, issuer, key, issuer_key, extension):
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509
        .CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(issuer_key, hashes.SHA256())
    )


def _account_key(folder):
    path = folder / "account.json"
    key = {
        "type": "service_account",
        "project_id": "fake-project",
        "private_key_id": "1",
        "private_key": _private_text(rsa.generate_private_key(65537, 2048)).decode(),
        "client_email": "tester@fake-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    path.write_text(json.dumps(key))
    return path


def _private_text(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
