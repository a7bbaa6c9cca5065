"""Whatever the document allows, and much that it does not, is answered as it says."""

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.gateway.app import create_app
from serving.gateway.settings import GatewaySettings

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


schema = schemathesis.openapi.from_dict(create_app(GatewaySettings()).openapi())


@schema.parametrize()
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
def test_answers_are_those_of_the_document(case, gateway, seller_key):
    headers = {"Authorization": f"Bearer {seller_key}"}
    response = case.call(base_url=gateway.url, headers=headers, timeout=30)
    case.validate_response(response, checks=CHECKS)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict:batch", "/v1/feedback"])
def test_methods_that_do_not_exist_are_refused(gateway, method, path):
    response = httpx.request(method, gateway.url + path)
    assert response.status_code in {400, 405}
    assert response.json()["code"] in {"bad_request", "method_not_allowed"}


@pytest.mark.parametrize(
    "path",
    ["/v1/predict/../../etc/passwd", "/..%2f..%2fetc/passwd", "/v1/predict%00", "/%ff%fe", "//v1"],
)
def test_paths_that_lead_nowhere_are_404(gateway, path):
    # The whole address: beside a base URL, httpx would take //v1 for a host.
    response = httpx.get(gateway.url + path)
    assert response.status_code in {404, 405}
    assert response.json()["request_id"]
