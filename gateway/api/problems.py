"""Problem bodies (RFC 9457), and which error becomes which. No value of a request is repeated."""

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import NotRequired

import orjson
from aiohttp import web
from typing_extensions import TypedDict

from gateway.model import errors

CONTENT_TYPE = "application/problem+json"


class BadBody(errors.RequestError):
    """The body cannot be read as what its content type says."""

    title = "Unreadable body"


class TooDeep(errors.RequestError):
    """JSON nested beyond any use."""

    title = "JSON too deep"


class BodyTooLarge(errors.RequestError):
    """More bytes than the edge takes, before or after decompression."""

    status = 413
    title = "Body too large"


class SlowBody(errors.RequestError):
    """The body did not come in time."""

    status = 408
    title = "Body too slow"


class UnsupportedBody(errors.RequestError):
    """A content type, charset or encoding that this address does not take."""

    status = 415
    title = "Unsupported media type"


class InvalidRequest(errors.RequestError):
    """A query parameter or header that says something that cannot be done."""

    title = "Invalid request"


class Refused(errors.RequestError):
    """What aiohttp itself refuses: no such address, wrong method, unreadable head."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = HTTPStatus(status).phrase


class FaultBody(TypedDict):
    """One thing wrong with the request."""

    field: str
    detail: str


class Problem(TypedDict):
    """What went wrong, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    #: in a batch, only the answer as a whole has one
    request_id: NotRequired[str]
    faults: NotRequired[list[FaultBody]]


def slug(title: str) -> str:
    """The fragment of `/docs` that explains problems of this title."""
    return "problem-" + title.lower().replace(" ", "-")


def problem(status: int, title: str, detail: str, faults: Sequence[errors.Fault] = ()) -> Problem:
    """A body without a request id."""
    body: Problem = {
        "type": f"/docs#{slug(title)}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if faults:
        body["faults"] = [{"field": one.field, "detail": one.detail} for one in faults]
    return body


def of_error(error: errors.RequestError) -> Problem:
    """The body that tells the caller of its fault."""
    return problem(error.status, error.title, error.detail, error.faults)


def response(body: Problem, request_id: str, headers: dict[str, str] | None = None) -> web.Response:
    """The answer that carries the problem."""
    body["request_id"] = request_id
    return web.Response(
        status=body["status"],
        body=orjson.dumps(body),
        content_type=CONTENT_TYPE,
        headers=headers,
    )


def headers_of(error: errors.RequestError) -> dict[str, str]:
    """What the status obliges us to add (RFC 9110 §10.2.3, §11.6.1)."""
    if isinstance(error, errors.TooManyRequests):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    if isinstance(error, errors.Unauthorised):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, SlowBody | BodyTooLarge):
        # The rest of the body is still on its way: reading it would be the work that we refuse.
        return {"Connection": "close"}
    return {}


def unavailable(request_id: str) -> web.Response:
    """The store cannot answer now."""
    body = problem(
        503, "Unavailable", "The store cannot be reached; nothing was stored. Try again."
    )
    return response(body, request_id, {"Retry-After": "1"})


def internal(request_id: str) -> web.Response:
    """A bug; its details are in the log under the request id."""
    body = problem(500, "Internal error", "This is a fault of the gateway, and it was logged.")
    return response(body, request_id)
