"""Problem bodies (RFC 9457), and which error becomes which. No value of a request is repeated."""

import inspect
import math
from collections.abc import Iterator, Sequence
from typing import NotRequired

import orjson
from aiohttp import web
from typing_extensions import TypedDict

from gateway.model import errors
from gateway.model.values import Value

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


class MethodNotAllowed(errors.RequestError):
    """This address takes other methods; `Allow` names them."""

    status = 405
    title = "Method not allowed"


class Kind(Value):
    """What all problems of one type have in common."""

    status: int
    title: str
    #: for the documentation
    meaning: str


UNAVAILABLE = Kind(
    status=503,
    title="Unavailable",
    meaning="The store cannot commit now: nothing was stored. Try again after `Retry-After`.",
)
INTERNAL = Kind(
    status=500,
    title="Internal error",
    meaning="A fault of the gateway. It is in the gateway's log, with the id of the request.",
)


def kinds() -> Sequence[Kind]:
    """Every kind of problem that can be answered, by status."""
    found = [
        Kind(title=one.title, status=one.status, meaning=inspect.getdoc(one) or "")
        for one in _subclasses(errors.RequestError)
    ]
    return sorted([*found, UNAVAILABLE, INTERNAL], key=lambda one: (one.status, one.title))


def _subclasses(root: type[errors.RequestError]) -> Iterator[type[errors.RequestError]]:
    yield root
    for child in root.__subclasses__():
        yield from _subclasses(child)


def refused(status: int, detail: str) -> errors.RequestError:
    """What aiohttp itself refuses: no such address, wrong method, unreadable head."""
    known = {404: errors.NotFound, 405: MethodNotAllowed, 413: BodyTooLarge}
    error = known.get(status, errors.RequestError)(detail)
    error.status = status
    return error


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


def type_of(title: str) -> str:
    """The part of `/docs` that explains problems of this title."""
    return "/docs#problem-" + title.lower().replace(" ", "-")


def problem(status: int, title: str, detail: str, faults: Sequence[errors.Fault] = ()) -> Problem:
    """A body without a request id."""
    body: Problem = {
        "type": type_of(title),
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


def unavailable(
    request_id: str, detail: str = "The store cannot be reached; nothing was stored. Try again."
) -> web.Response:
    """The store, or what `detail` says, cannot answer now."""
    body = problem(UNAVAILABLE.status, UNAVAILABLE.title, detail)
    return response(body, request_id, {"Retry-After": "1"})


def internal(request_id: str) -> web.Response:
    """A bug; its details are in the log under the request id."""
    detail = "This is a fault of the gateway, and it was logged."
    return response(problem(INTERNAL.status, INTERNAL.title, detail), request_id)
