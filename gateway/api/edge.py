"""What happens around every handler: request id, problems, authentication, scope.

The deadline and the cap of a body live in `bodies`: they end the reading, never a call into the
layers below. A call that was cut off might have stored something, and the caller would be told
that nothing was.
"""

import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeAlias

import orjson
from aiohttp import web

from gateway.api import problems
from gateway.api.services import SERVICES
from gateway.api.throttle import THROTTLE
from gateway.model import entropy, errors
from gateway.model.submission import Caller, Scope

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
CallerHandler: TypeAlias = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]

#: Of the request that is being served; for log lines.
request_id: ContextVar[str] = ContextVar("request_id", default="")

HEADER = "X-Request-Id"
REQUEST_ID = web.RequestKey("request_id", str)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
#: RFC 6750 §2.1
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,512}=*)", re.ASCII | re.IGNORECASE)

_REFUSALS = {
    404: "There is nothing at this address.",
    405: "This address does not take this method; Allow names those that it takes.",
    413: "The body is too large.",
}


def new_id() -> str:
    """An id for a request that brings none."""
    return entropy.draw(16).hex()


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, the caller's own if it is a sane one, and name it in the answer."""
    asked = request.headers.get(HEADER, "")
    chosen = asked if _REQUEST_ID.fullmatch(asked) else new_id()
    request[REQUEST_ID] = chosen
    request_id.set(chosen)
    response = await handler(request)
    sign(response, chosen)
    return response


def sign(response: web.StreamResponse, chosen: str) -> None:
    """What every answer carries. aiohttp would tell which versions of it and of Python run here."""
    response.headers[HEADER] = chosen
    response.headers["Server"] = "gateway"


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into problem bodies. What is not known here is a bug: the server answers it."""
    try:
        return await handler(request)
    except errors.RequestError as error:
        return _refuse(request, error)
    except errors.StoreUnavailable:
        return problems.unavailable(request[REQUEST_ID])
    except errors.ErrandFailed:
        detail = "What this report needs besides cannot be reached. Try again."
        return problems.unavailable(request[REQUEST_ID], detail)
    except errors.BadSignature:
        return _refuse(request, errors.Forbidden("The signature is not the provider's."))
    except errors.UnreadableReceipt:
        return _refuse(request, problems.BadBody("This is not a report of that provider."))
    except web.HTTPException as error:
        return _translate(request, error)


def _refuse(request: web.Request, error: errors.RequestError) -> web.Response:
    body = problems.of_error(error)
    return problems.response(body, request[REQUEST_ID], problems.headers_of(error))


def _translate(request: web.Request, error: web.HTTPException) -> web.Response:
    """What aiohttp says by itself, as a problem; `Allow` is kept (RFC 9110 §15.5.6)."""
    detail = _REFUSALS.get(error.status, error.reason)
    response = _refuse(request, problems.refused(error.status, detail))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def guard(handler: CallerHandler, scope: Scope, *, is_counted: bool = False) -> Handler:
    """A handler that only callers with this scope reach. is_counted: each call is taken from the
    tenant's rate."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        caller = await _authenticate(request)
        if scope not in caller.scopes:
            raise errors.Forbidden(f"This needs a key with the scope {scope}.")
        if is_counted:
            await request.app[SERVICES].keys.admit(caller, 1)
        return await handler(request, caller)

    return guarded


async def _authenticate(request: web.Request) -> Caller:
    """Raises Unauthorised, or TooManyRequests from an address that fails too often."""
    throttle = request.app[THROTTLE]
    address = request.remote or ""
    match = _BEARER.fullmatch(request.headers.get("Authorization", "").strip())
    token = match[1] if match else ""
    throttle.check(address, token)
    if not token:
        throttle.failed(address)
        raise errors.Unauthorised("Send the API key as `Authorization: Bearer <key>`.")
    try:
        caller = await request.app[SERVICES].keys.authenticate(token)
    except errors.Unauthorised:
        throttle.failed(address)
        raise
    throttle.succeeded(token)
    return caller


async def no_expectations(request: web.Request) -> None:
    """`Expect: 100-continue` is answered when the body is wanted, see `bodies`."""


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        status=status, body=orjson.dumps(value), content_type="application/json", headers=headers
    )
