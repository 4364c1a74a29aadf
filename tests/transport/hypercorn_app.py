"""An ASGI app that tells what it was sent. Run by hypercorn, which is started by the tests."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """`/echo` gives back what came, `/broken` breaks, all else is told with status 410."""
    if scope["type"] != "http":
        return
    body = await _body(receive)
    if scope["path"] == "/broken":
        raise ValueError("broken")
    status, answer = (200, body) if scope["path"] == "/echo" else (410, _told(scope, body))
    client = "{}:{}".format(*scope["client"]).encode()
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"x-client", client)]}
    )
    await send({"type": "http.response.body", "body": answer})


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        event = await receive()
        parts.append(event.get("body", b""))
        if not event.get("more_body"):
            return b"".join(parts)


def _told(scope: Mapping[str, Any], body: bytes) -> bytes:
    return json.dumps(
        {
            "version": scope["http_version"],
            "method": scope["method"],
            "path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
            "body": body.decode(),
        }
    ).encode()
