import pytest


def test_a_healthy_gateway_says_so(gateway):
    with gateway.client() as stranger:
        assert stranger.get("/v1/health/live").json() == {"status": "live"}
        response = stranger.get("/v1/health/ready")
        metrics = stranger.get("/metrics")
    assert response.status_code == 200
    answer = response.json()
    assert answer["is_ready"] is answer["are_rules_current"] is True
    assert (answer["model_server"], answer["database"]) == ("up", "up")
    assert metrics.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(("policy", "status"), [("refuse", 503), ("default", 200)])
def test_without_model_server_only_a_fallback_is_ready(make_gateway, tmp_path, policy, status):
    rules = tmp_path / "rules.yaml"
    rules.write_text("default_answer: unknown\n")
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS="127.0.0.1:1", FALLBACK__POLICY=policy, RULES_FILE=str(rules)
    )
    gateway.start()
    with gateway.client() as stranger:
        response = stranger.get("/v1/health/ready")
    assert response.status_code == status
    answer = response.json()
    assert answer["is_ready"] is answer["has_fallback"] is (status == 200)
    assert answer["model_server"] == "down"
    assert "127.0.0.1:1" not in response.text
    assert gateway.stop() == 0
