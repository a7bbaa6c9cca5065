"""`--ssl_config_file`: the key and certificates with which gRPC is served."""

import os
import ssl
import tempfile
from pathlib import Path
from typing import Any, Final

import grpc

from configs.errors import ConfigError
from serving.model_server.flags import ServerFlags
from serving.model_server.text_protos import read_text_proto

_FLAG: Final = "--ssl_config_file"


def read_credentials(flags: ServerFlags) -> Any:
    """Make gRPC's server credentials from a text SSLConfig, whose PEM texts stand inline.

    Args:
        flags: the command line.

    Returns:
        The `grpc.ServerCredentials`; None when gRPC is served without TLS.

    Raises:
        ConfigError: the file cannot be read or parsed, or its key and certificates cannot be used.
    """
    path = flags.ssl_config_file
    if not path:
        return None
    config = read_text_proto(path, "SSLConfig", _FLAG)
    for name in ("server_key", "server_cert"):
        if not getattr(config, name):
            raise ConfigError(f"{_FLAG} {path!r} has no {name}, expected a PEM text. Add it.")
    if config.client_verify and not config.custom_ca:
        raise ConfigError(
            f"{_FLAG} {path!r} has client_verify and no custom_ca, expected the PEM text of the "
            "authority that signed the clients' certificates. Add it."
        )
    _check_key_pair(config, path)
    _check_authorities(config, path)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _check_key_pair(config: Any, path: str) -> None:
    # gRPC would only say, after the models are loaded, that the port cannot be opened. OpenSSL
    # takes these from files alone; the folder is this user's own, and gone at once.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(f"{config.server_key}\n{config.server_cert}\n")
        try:
            # A callback without a password: an encrypted key must fail, not ask on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"{_FLAG} {path!r}: server_key and server_cert cannot be used: {error}. Expected "
                "an unencrypted PEM key and the PEM certificate (chain) that was made with it."
            ) from error


def _check_authorities(config: Any, path: str) -> None:
    if not config.custom_ca:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=config.custom_ca)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"{_FLAG} {path!r}: custom_ca cannot be used: {error}. Expected PEM certificates."
        ) from error
