"""The OpenAPI 3.1 document, from the route table and the types that read and write bodies."""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import pydantic
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

import gateway
from gateway.api import fields, problems
from gateway.api.spec import Answer, Query, Route
from gateway.content.recipients import MAX_ID

_REF = "#/components/schemas/{model}"

_DESCRIPTION = """\
Send a message over email, SMS, push, WeChat, WeCom, RCS or a webhook, with fallback from one \
channel to the next, and learn what became of it.

Every request needs an API key: `Authorization: Bearer <key>`. A 202 means that the message is on \
disk and will be tried. Errors are problem bodies (RFC 9457) that name the field at fault. Times \
are RFC 3339, durations are seconds or `20s`, `5m`, `24h`."""

_TAGS = {
    "messages": "Send, watch, cancel and resend messages.",
    "webhooks": "Where the gateway reports what became of your messages, signed as Standard "
    "Webhooks has it.",
    "recipients": "Your people: their addresses, devices and wishes, so that a message need only "
    "name one.",
    "providers": "The accounts that carry messages.",
    "receipts": "For providers: where they report deliveries and what recipients write.",
    "subscriptions": "For recipients: how they leave a category, by the link in a mail.",
    "documentation": "This description.",
}

#: Any request of a caller may meet these.
_CALLER_PROBLEMS = (401, 403, 429, 503)


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole description as JSON values."""
    schemas, refs = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gateway",
            "version": gateway.__version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key"}
            },
        },
        "x-problems": _problem_list(),
    }


_Refs = Mapping[tuple[int, JsonSchemaMode], dict[str, Any]]


def _schemas(routes: Iterable[Route]) -> tuple[dict[str, Any], _Refs]:
    """Component schemas, and by identity of each body and shape the schema that stands for it."""
    shapes = [answer.shape for route in routes for answer in route.answers.values()]
    taken = [body for route in routes for body in route.bodies.values()]
    wanted: dict[tuple[int, JsonSchemaMode], Any] = {
        **{(id(body), "validation"): body for body in taken},
        **{(id(shape), "serialization"): shape for shape in shapes if shape is not None},
        (id(problems.Problem), "serialization"): problems.Problem,
    }
    inputs: list[tuple[tuple[int, JsonSchemaMode], JsonSchemaMode, pydantic.TypeAdapter[Any]]] = [
        (key, key[1], pydantic.TypeAdapter(body)) for key, body in wanted.items()
    ]
    by_key, definitions = pydantic.TypeAdapter.json_schemas(
        inputs, ref_template=_REF, schema_generator=_Schema
    )
    return definitions.get("$defs", {}), {key: ref for (key, _), ref in by_key.items()}


class _Schema(GenerateJsonSchema):
    """Without titles that only repeat the name of a field."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _operation(route: Route, refs: _Refs) -> dict[str, Any]:
    handler = getattr(route.documented, "__name__", "")
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{handler}",
        "summary": route.summary,
        "description": inspect.getdoc(route.documented) or "",
        "tags": [route.tag],
        "parameters": _parameters(route),
        "responses": _responses(route, refs),
        "security": [{"key": []}] if route.scope else [],
    }
    if route.scope:
        operation["x-scope"] = str(route.scope)
    if route.bodies:
        operation["requestBody"] = _body(route, refs)
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(route, name)}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    return (
        in_path
        + [_parameter(one, "query") for one in route.queries]
        + [_parameter(one, "header") for one in route.headers]
    )


def _path_schema(route: Route, name: str) -> dict[str, Any]:
    if route.path.startswith("/v1/messages/"):
        return {"type": "string", "format": "uuid"}
    if route.path.startswith("/v1/recipients/"):
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_ID,
            "pattern": fields.PATH_ID_PATTERN,
        }
    if name == "token":
        return {"type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[A-Za-z0-9_-]+$"}
    return {"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[!-.0-~]+$"}


def _parameter(query: Query, where: str) -> dict[str, Any]:
    return {
        "name": query.name,
        "in": where,
        "description": query.description,
        "schema": dict(query.schema),
    }


def _body(route: Route, refs: _Refs) -> dict[str, Any]:
    content = {
        content_type: {"schema": refs[id(body), "validation"]}
        for content_type, body in route.bodies.items()
    }
    first = next(iter(content))
    content[first]["examples"] = {
        re.sub(r"\W+", "-", name).strip("-").lower(): {"summary": name, "value": value}
        for name, value in route.examples.items()
    }
    return {"required": True, "content": content}


def _responses(route: Route, refs: _Refs) -> dict[str, Any]:
    responses = {str(status): _good(answer, refs) for status, answer in route.answers.items()}
    common = _CALLER_PROBLEMS if route.scope else ()
    for status in sorted({*route.problems, *common}):
        responses.setdefault(str(status), _bad(status, refs))
    return responses


def _good(answer: Answer, refs: _Refs) -> dict[str, Any]:
    out: dict[str, Any] = {"description": answer.description}
    if answer.shape is not None:
        content: dict[str, Any] = {"schema": refs[id(answer.shape), "serialization"]}
        if answer.example is not None:
            content["example"] = answer.example
        out["content"] = {answer.content_type: content}
    elif answer.content_type != "application/json":
        out["content"] = {answer.content_type: {}}
    return out


def _bad(status: int, refs: _Refs) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {problems.CONTENT_TYPE: {"schema": refs[id(problems.Problem), "serialization"]}},
    }


def _problem_list() -> list[dict[str, Any]]:
    """Every kind of problem, as `type` refers to it."""
    return [
        {
            "type": problems.type_of(one.title),
            "title": one.title,
            "status": one.status,
            "description": one.meaning,
        }
        for one in problems.kinds()
    ]
