"""For operators: providers' health on the public port; metrics and probes on the internal one."""

from aiohttp import web

from gateway.api import shapes
from gateway.api.edge import answer
from gateway.api.services import SERVICES
from gateway.model.submission import Caller


async def providers(request: web.Request, caller: Caller) -> web.Response:
    """Health, token bucket, acceptance and delivery rate of every provider account."""
    return answer(shapes.providers(await request.app[SERVICES].operations.health()))


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text or OpenMetrics, as asked for."""
    accept = request.headers.get("Accept", "")
    body, content_type = await request.app[SERVICES].operations.metrics(accept)
    return web.Response(body=body, headers={"Content-Type": content_type})


async def alive(request: web.Request) -> web.Response:
    """200 while the event loop turns."""
    return web.Response(text="ok\n")


async def ready(request: web.Request) -> web.Response:
    """200 when the store answers and nothing drains; else 503 and the reason."""
    reason = request.app[SERVICES].operations.ready()
    if reason:
        return web.Response(status=503, text=f"{reason}\n", headers={"Retry-After": "1"})
    return web.Response(text="ok\n")
