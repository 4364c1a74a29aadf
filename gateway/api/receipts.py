"""What providers post to us, handed on as it came: only they know how to read and prove it."""

from aiohttp import web

from gateway.api import bodies, queries
from gateway.api.services import SERVICES, Services
from gateway.model import wire


async def take(request: web.Request) -> web.Response:
    """Take delivery receipts of a provider account and what recipients write to it, in whatever
    form and signature it uses.

    For providers, not for callers. A GET is how some of them prove the address before first use.
    """
    return await _take(request, below=False)


async def take_below(request: web.Request) -> web.Response:
    """The same for services that put a path of their own after the address that they were given,
    such as platforms for 5G messages; 404 for all others.
    """
    return await _take(request, below=True)


async def _take(request: web.Request, *, below: bool) -> web.Response:
    services = request.app[SERVICES]
    inbound = wire.HttpRequest(
        method=request.method,
        url=_public_url(request, services),
        headers=_joined(request),
        body=await bodies.read_raw(request),
    )
    account = queries.name(request, "provider")
    reply = await services.receipts.take(account, inbound, below=below)
    return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))


def _public_url(request: web.Request, services: Services) -> str:
    """The URL as the provider called it, which some signatures cover, raw query and all."""
    origin = services.public_url.rstrip("/") or f"{request.scheme}://{request.host}"
    return origin + request.raw_path


def _joined(request: web.Request) -> dict[str, str]:
    """Headers by lower-case name, repeated ones joined (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for key, value in request.headers.items():
        name = key.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
