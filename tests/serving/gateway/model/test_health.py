import asyncio

import pytest

from serving.gateway.errors import UnavailableError
from serving.gateway.model.client import ModelClient, VersionStatus
from serving.gateway.model.health import KEEP_SECONDS, ModelHealth
from serving.gateway.model.protos import VersionState
from serving.gateway.settings import ModelServerSettings


class Client(ModelClient):
    """Says what it is told to, and counts how often it is asked."""

    def __init__(self, states):
        super().__init__(ModelServerSettings())
        self.states, self.asked = states, 0

    async def statuses(self):
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.states is None:
            raise UnavailableError("it is gone")
        return [VersionStatus(version, state, "") for version, state in self.states.items()]


@pytest.mark.parametrize(
    ("states", "problem"),
    [
        ({7: VersionState.AVAILABLE}, ""),
        ({8: VersionState.LOADING, 7: VersionState.AVAILABLE}, ""),
        ({8: VersionState.LOADING}, "no version is AVAILABLE: LOADING"),
        ({}, "no version is AVAILABLE: none"),
        (None, "it is gone"),
    ],
)
def test_one_available_version_is_enough(states, problem):
    async def run():
        client = Client(states)
        found = await ModelHealth(client).check()
        await client.close()
        return found

    versions, found = asyncio.run(run())
    assert found == problem
    assert [entry.version for entry in versions] == list(states or {})


def test_many_who_want_to_know_ask_once_a_second(clock):
    async def run():
        client = Client({7: VersionState.AVAILABLE})
        health = ModelHealth(client, clock)
        await asyncio.gather(*(health.check() for _ in range(20)))
        assert client.asked == 1
        clock.now += KEEP_SECONDS
        client.states = None
        assert await health.check() == ([], "it is gone")
        assert client.asked == 2
        await client.close()

    asyncio.run(run())
