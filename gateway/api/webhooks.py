"""A tenant's webhook endpoints: read, make, replace, delete, replay."""

from aiohttp import web

from gateway.api import bodies, queries, reading, shapes, webhook_schema
from gateway.api.edge import answer
from gateway.api.services import SERVICES
from gateway.model.submission import Caller
from gateway.model.view import Endpoint

_webhook = reading.Reader(webhook_schema.NewWebhook)
_replay = reading.Reader(webhook_schema.ReplayRequest)


async def list_webhooks(request: web.Request, caller: Caller) -> web.Response:
    """The tenant's endpoints, the configured one among them. Secrets are not shown."""
    return answer(shapes.webhooks(await request.app[SERVICES].endpoints.list(caller)))


async def create(request: web.Request, caller: Caller) -> web.Response:
    """Make an endpoint. Without a secret the gateway makes one and shows it here, once."""
    body = _webhook.read(await bodies.read_json(request))
    made = await _put(request, caller, body=body, endpoint=None)
    return answer(_shape(made, body), 201, {"Location": f"/v1/webhooks/{made.id}"})


async def replace(request: web.Request, caller: Caller) -> web.Response:
    """Replace an endpoint. Without a secret the gateway makes a new one and shows it here, once."""
    endpoint = queries.name(request, "id")
    body = _webhook.read(await bodies.read_json(request))
    return answer(_shape(await _put(request, caller, body=body, endpoint=endpoint), body))


async def _put(
    request: web.Request, caller: Caller, *, body: webhook_schema.NewWebhook, endpoint: str | None
) -> Endpoint:
    return await request.app[SERVICES].endpoints.put(
        caller,
        url=body["url"],
        events=body.get("events", []),
        secret=body.get("secret"),
        endpoint=endpoint,
    )


def _shape(made: Endpoint, body: webhook_schema.NewWebhook) -> shapes.Webhook:
    hidden = "secret" in body or not made.secrets
    return shapes.webhook(made, secret="" if hidden else made.secrets[0])


async def delete(request: web.Request, caller: Caller) -> web.Response:
    """Remove an endpoint; reports that are still under way to it are dropped."""
    await request.app[SERVICES].endpoints.delete(caller, queries.name(request, "id"))
    return web.Response(status=204)


async def replay(request: web.Request, caller: Caller) -> web.Response:
    """Queue the endpoint's reports since a time again, with their old ids."""
    endpoint = queries.name(request, "id")
    body = _replay.read(await bodies.read_json(request))
    queued = await request.app[SERVICES].endpoints.replay(
        caller,
        endpoint,
        since_ms=int(body["since"].timestamp() * 1000),
        only_failed=body.get("only_failed", True),
    )
    result: shapes.Replayed = {"queued": queued}
    return answer(result, 202)
