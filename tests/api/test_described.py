"""Requests made from the description, good and bad: the edge must do as it is described."""

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from gateway.api import openapi, table
from tests import described

# The phase that tries each bound is left out: it makes its 3,000 cases while tests are collected.
described.send_texts()
CONFIG = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}})
SCHEMA = schemathesis.openapi.from_dict(
    json.loads(json.dumps(openapi.document(table.PUBLIC))), config=CONFIG
)
# Rules that a schema cannot express: NUL, sizes in bytes, times before the calendar.
NOT_DESCRIBED: list[Any] = [positive_data_acceptance]
# One bad message or row does not sink the others: it has a problem in its place.
NOT_DESCRIBED_OF_BATCHES: list[Any] = [*NOT_DESCRIBED, negative_data_rejection]


@SCHEMA.parametrize()
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_edge_does_as_it_is_described(case: schemathesis.Case[Any], served: str) -> None:
    headers = {"Authorization": "Bearer gw_send_read_recipients_admin"}

    response = case.call(base_url=served, headers=headers)

    assert response.status_code < 500
    batch = "application/x-ndjson" in case.operation.get_request_payload_content_types()
    excluded = NOT_DESCRIBED_OF_BATCHES if batch else NOT_DESCRIBED
    case.validate_response(response, headers=headers, excluded_checks=excluded)
