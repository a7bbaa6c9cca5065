"""Callers with keys of their own."""

import contextlib
import time

import pytest


@pytest.fixture
def make_other(gateway):
    """Function of scopes to an HTTP client with a new key, known to the gateway."""
    with contextlib.ExitStack() as stack:

        def make_other(*scopes):
            client = stack.enter_context(gateway.client(gateway.make_key(*scopes)))
            deadline = time.monotonic() + 15
            while client.get("/v1/models").status_code == 401:
                assert time.monotonic() < deadline, "the new key is not known"
                time.sleep(0.1)
            return client

        yield make_other
