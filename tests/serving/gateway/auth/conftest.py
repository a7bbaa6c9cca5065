"""A real table of keys, and a real RSA key that signs tokens."""

import datetime
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from serving.gateway.auth.key_store import KeyStore
from serving.gateway.database.engine import create_engine
from serving.gateway.database.migrate import migrate

PEPPER = b"p" * 32


@pytest.fixture
def clock(clock):
    """A clock of dates; tokens know whole seconds only."""
    clock.now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return clock


@pytest.fixture
def pepper():
    return PEPPER


@pytest.fixture
def store(engine):
    return KeyStore(engine, PEPPER)


@pytest.fixture
def database_file(tmp_path):
    return tmp_path / "losable.db"


@pytest.fixture
async def losable_store(database_file):
    """A store whose database is a file that a test takes away."""
    url = f"sqlite+aiosqlite:///{database_file}"
    await migrate(url)
    engine = create_engine(url)
    yield KeyStore(engine, PEPPER)
    await engine.dispose()


@pytest.fixture(scope="session")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def public_pem(rsa_key):
    return rsa_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture(scope="session")
def make_jwk():
    """Function of (private key, kid, more members) to a public JWK."""

    def make(key, kid, **members):
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        return {**jwk, "kid": kid, "use": "sig", "alg": "RS256", **members}

    return make


@pytest.fixture
def jwks_file(tmp_path, rsa_key, make_jwk):
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [make_jwk(rsa_key, "first")]}))
    return file
