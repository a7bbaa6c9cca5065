"""What bare connections of the tests share."""

import contextlib


def read_all(connection):
    """All bytes that come until the other side closes, in however many pieces."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received
