"""Whose word about addresses counts, and what is counted by them."""

import json
import time

import pytest


def sign_in(client, forwarded_for, key="lk_wrong"):
    page = client.get("/console/sign-in").text
    token = page.partition('name="form_token" value="')[2][:64]
    return client.post(
        "/console/sign-in",
        data={"key": key, "form_token": token},
        headers={"x-forwarded-for": forwarded_for},
    )


def read_clients(gateway):
    assert gateway.stop() == 0  # a line is written after its answer
    lines = [json.loads(line) for line in gateway.log.splitlines() if '"method"' in line]
    return [line["client"] for line in lines if line["method"] == "POST"]


@pytest.fixture
def start(make_gateway):
    def start(**settings):
        gateway = make_gateway(SECURE_COOKIES="false", **settings)
        gateway.start()
        return gateway

    return start


def test_strangers_cannot_choose_their_address(start):
    gateway = start(TRUSTED_PROXIES='["192.0.2.9"]', THROTTLE__SIGN_IN_PER_MINUTE="2")
    with gateway.client() as client:
        statuses = [sign_in(client, f"10.0.0.{n}").status_code for n in range(3)]
    assert statuses == [401, 401, 429]
    assert read_clients(gateway) == ["127.0.0.1"] * 3


def test_callers_behind_a_trusted_proxy_are_told_apart(start):
    gateway = start(
        TRUSTED_PROXIES='["127.0.0.0/8", "198.51.100.0/24"]', THROTTLE__SIGN_IN_PER_MINUTE="1"
    )
    with gateway.client() as client:
        assert sign_in(client, "203.0.113.1, 192.0.2.1").status_code == 401
        # What stands before the address that the nearest proxy saw may be made up.
        assert sign_in(client, "203.0.113.2, 192.0.2.1, 198.51.100.7").status_code == 429
        assert sign_in(client, "203.0.113.1, 192.0.2.2").status_code == 401
    assert read_clients(gateway) == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]


def test_a_proxy_on_this_machine_is_trusted_unless_told_otherwise(start):
    gateway = start()
    with gateway.client() as client:
        sign_in(client, "192.0.2.1")
    assert read_clients(gateway) == ["192.0.2.1"]


def test_feedback_of_the_console_costs_what_feedback_costs(start):
    gateway = start(THROTTLE__KEY_PER_SECOND="0.01", THROTTLE__KEY_BURST="2")
    key = gateway.make_key("feedback", "predict")
    with gateway.client() as client:
        deadline = time.monotonic() + 15  # the key was made while the gateway ran
        while sign_in(client, "192.0.2.1", key).status_code != 303:
            assert time.monotonic() < deadline
        page = client.get("/console/try").text
        token = page.partition('name="form-token" content="')[2][:64]
        answers = [
            client.post(
                "/console/try/feedback",
                json={"request_id": "0" * 32, "label": "cup"},
                headers={"x-form-token": token},
            )
            for _ in range(3)
        ]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert int(answers[-1].headers["retry-after"]) > 90
    assert answers[-1].json()["code"] == "throttled"
