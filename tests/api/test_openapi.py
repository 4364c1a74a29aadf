"""The description says what the edge does: judged by validators and by requests made from it."""

import base64
import hashlib
import json
import re
from typing import Any

import jsonschema_rs
import pytest

from gateway.api import bodies, examples, limits, openapi, routes, submissions, table
from gateway.model import errors

DOCUMENT = openapi.document(table.PUBLIC)
OPERATIONS = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
]


def test_document_is_valid_openapi() -> None:
    validator = pytest.importorskip("openapi_spec_validator")

    validator.validate(json.loads(json.dumps(DOCUMENT)), cls=validator.OpenAPIV31SpecValidator)


def test_every_schema_is_valid_json_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    faults = [name for name, one in schemas.items() if not jsonschema_rs.meta.is_valid(one)]

    assert faults == []
    assert len(schemas) > 20


async def test_every_route_that_answers_is_described(fakes: Any) -> None:
    app = routes.public_app(fakes.services(), limits.Limits())

    served = {
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource and route.method != "HEAD"
    }

    described = {
        (path, method) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert served == described | {("/", "get")}  # which only leads people to /docs


def test_every_reference_has_a_target() -> None:
    text = json.dumps(DOCUMENT)

    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))

    assert names <= set(DOCUMENT["components"]["schemas"])
    assert names


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_is_explained(path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method]

    assert operation["summary"]
    assert operation["description"]
    assert any(status.startswith("2") for status in operation["responses"])


def test_operation_ids_are_unique() -> None:
    ids = [DOCUMENT["paths"][p.values[0]][p.values[1]]["operationId"] for p in OPERATIONS]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", examples.MESSAGES)
def test_examples_are_messages_that_are_accepted(name: str) -> None:
    raw = json.dumps(examples.MESSAGES[name]).encode()

    submission = submissions.read_message(bodies.parse(raw), "")

    assert submission.category == examples.MESSAGES[name]["category"]


async def test_page_needs_nothing_from_elsewhere(edge: Any) -> None:
    async with edge.session.get(f"{edge.url}/docs") as answer:
        html = await answer.text()
        policy = answer.headers["Content-Security-Policy"]

    script = html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    embedded = re.search(r'id="openapi">(.*?)</script>', html, re.DOTALL)
    assert embedded
    assert json.loads(embedded[1]) == json.loads(json.dumps(DOCUMENT))
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r'(src|href)="(https?:)?//', html)
    assert "innerHTML" not in html


async def test_document_and_page_need_no_key(edge: Any) -> None:
    headers = {"Authorization": ""}

    async with (
        edge.session.get(f"{edge.url}/openapi.json", headers=headers) as document,
        edge.session.head(f"{edge.url}/docs", headers=headers) as page,
    ):
        body = await document.json()

    assert (document.status, page.status, page.content_type) == (200, 200, "text/html")
    assert body["openapi"] == "3.1.0"


@pytest.mark.parametrize("title", [one["title"] for one in DOCUMENT["x-problems"]])
def test_type_of_a_problem_leads_to_its_explanation(title: str) -> None:
    (one,) = [one for one in DOCUMENT["x-problems"] if one["title"] == title]

    assert re.fullmatch(r"/docs#problem-[a-z-]+", one["type"])
    assert one["description"]


@pytest.mark.parametrize(
    ("method", "path", "failure"),
    [
        ("GET", "/nothing", None),
        ("DELETE", "/docs", None),
        ("POST", "/v1/messages", errors.StoreUnavailable()),
        ("POST", "/v1/messages", RuntimeError("a bug")),
        *(
            ("POST", "/v1/messages", one)
            for one in (
                errors.RequestError(""),
                errors.TooManyRequests("", 1.0),
                *(
                    kind("")
                    for kind in errors.RequestError.__subclasses__()
                    if kind is not errors.TooManyRequests
                ),
            )
        ),
        ("POST", "/v1/receipts/forged", None),
        ("POST", "/v1/receipts/garbled", None),
    ],
)
async def test_every_problem_that_is_answered_is_explained(
    edge: Any, fakes: Any, method: str, path: str, failure: Exception | None
) -> None:
    fakes.intake.failure = failure
    body = {"to": {"phone": "+8613800138000"}, "content": {"text": "hello"}}

    async with edge.session.request(method, edge.url + path, json=body) as answer:
        problem = await answer.json(content_type="application/problem+json")

    known = {one["type"]: (one["title"], one["status"]) for one in DOCUMENT["x-problems"]}
    assert known[problem["type"]] == (problem["title"], answer.status)


def test_bound_on_keys_is_described_as_one() -> None:
    metadata = DOCUMENT["components"]["schemas"]["NewMessage"]["properties"]["metadata"]

    assert (metadata["type"], metadata["maxProperties"]) == ("object", 50)
    assert "maxLength" not in metadata
