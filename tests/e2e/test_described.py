"""The served description and the gateway behind it agree, for requests made from it."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as bounded
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from gateway import settings
from gateway.api import openapi, table
from gateway.app import Gateway
from tests import described

KEY = "gw_e2e_key_of_shop"
HEADERS = {"Authorization": f"Bearer {KEY}"}
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]

# The phase that tries each bound makes thousands of cases while tests are collected.
described.send_texts()
CONFIG = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}})
DOCUMENT = json.loads(json.dumps(openapi.document(table.PUBLIC)))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway in a thread of its own. Its workers stand still: what comes from a description
    may name any address in the world."""
    folder = tmp_path_factory.mktemp("described")
    tables: dict[str, Any] = {
        "store": {"url": f"sqlite://{folder}/gateway.db"},
        "api": {"listen": "127.0.0.1:0", "internal": "127.0.0.1:0"},
        "tenants": {"shop": {"keys": [KEY], "scopes": ["send", "read", "recipients", "admin"]}},
        "lanes": {
            "sms": {"channel": "sms", "providers": ["acme"]},
            "email": {"channel": "email", "providers": ["relay"]},
        },
        "providers": {
            "acme": {
                "kind": "http",
                "channel": "sms",
                "url": "http://127.0.0.1:9/send",
                "receipt": {"secret": "s3cret", "id": "id", "status": "status", "map": {}},
            },
            "relay": {"kind": "smtp", "host": "127.0.0.1", "port": 9, "from": "a@example.com"},
        },
        "templates": {"login-code": {"sms": {"text": "{{ code }}"}}},
    }
    gateway = Gateway(settings.parse(tables, environ={}, folder=Path(folder)))
    with asyncio.Runner() as runner:
        runner.run(gateway.__aenter__())
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{gateway.port}"
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            runner.run(gateway.__aexit__(None, None, None))


@SCHEMA.parametrize()
@bounded(
    max_examples=int(os.environ.get("E2E_EXAMPLES", "6")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_gateway_does_as_it_is_described(case: schemathesis.Case[Any], served: str) -> None:
    response = case.call(base_url=served, headers=HEADERS)

    case.validate_response(response, headers=HEADERS, checks=CHECKS)


def test_description_is_served(served: str) -> None:
    found = requests.get(f"{served}/openapi.json", timeout=30).json()

    assert {key: found[key] for key in ("paths", "components")} == {
        key: DOCUMENT[key] for key in ("paths", "components")
    }


def test_real_ids_are_answered_as_described(served: str) -> None:
    """What chance does not find: messages and endpoints that exist."""
    with requests.Session() as session:
        session.headers.update(HEADERS)
        body = {"to": {"phone": "+14155550123"}, "content": {"text": "Hello"}}
        message = session.post(f"{served}/v1/messages", json=body).json()["id"]
        hook = session.put(f"{served}/v1/webhooks", json={"url": "https://example.com/hooks"})
        calls = [
            ("GET", "/v1/messages/{id}", message, None),
            ("GET", "/v1/messages", "", None),
            ("POST", "/v1/preview", "", body),
            ("POST", "/v1/messages/batch", "", [body]),
            ("POST", "/v1/messages/{id}/redrive", message, None),
            ("POST", "/v1/messages/{id}/cancel", message, None),
            ("GET", "/v1/webhooks", "", None),
            ("PUT", "/v1/webhooks/{id}", hook.json()["id"], {"url": "https://example.com/h"}),
            ("DELETE", "/v1/webhooks/{id}", hook.json()["id"], None),
            ("GET", "/v1/providers", "", None),
        ]

        statuses = []
        for method, path, id, posted in calls:
            url = served + path.replace("{id}", id)
            response = session.request(method, url, json=posted)
            SCHEMA[path][method].validate_response(response)
            statuses.append(response.status_code)

    assert hook.status_code == 201
    assert statuses == [200, 200, 200, 202, 409, 200, 200, 200, 204, 200]
