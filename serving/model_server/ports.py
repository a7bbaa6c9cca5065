"""TCP ports: bound for REST, and looked at early, so that a taken one is told at once."""

import errno
import socket

from configs.errors import ConfigError
from serving.model_server.flags import ServerFlags


class PortError(ConfigError):
    """A port that cannot be opened: taken, or not allowed."""

    def __init__(self, flag: str, port: int, error: OSError) -> None:
        super().__init__(
            f"--{flag}={port} cannot be opened: {error.strerror}. "
            "Stop what uses it, or choose another port."
        )


def check_ports_are_free(flags: ServerFlags) -> None:
    """Fail before models are loaded when a port is taken; the ports are opened much later.

    Args:
        flags: the command line.

    Raises:
        PortError: a port is taken or not allowed.
    """
    if flags.rest_api_port and flags.rest_api_port != flags.port:
        open_rest_socket(flags.rest_api_port).close()
    if flags.port:
        try:
            _bind(socket.AF_INET, "0.0.0.0", flags.port).close()  # noqa: S104
        except OSError as error:
            raise PortError("port", flags.port, error) from error


def open_rest_socket(port: int) -> socket.socket:
    """Bind the REST port on all IPv6 and IPv4 addresses, or on IPv4 where there is no IPv6.

    Args:
        port: the TCP port.

    Returns:
        The bound socket; it does not listen yet.

    Raises:
        PortError: the port is taken or not allowed.
    """
    try:
        return _bind(socket.AF_INET6, "::", port)
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise PortError("rest_api_port", port, error) from error
    try:
        return _bind(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - as TF Serving does
    except OSError as error:
        raise PortError("rest_api_port", port, error) from error


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
