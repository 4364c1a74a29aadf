"""Reading and turning a simulator's knobs, and reading its log, over HTTP."""

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

import orjson
from aiohttp import web

from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Log

PREFIX = "/_sandbox/"

#: Arrivals in one answer unless the query asks for fewer.
_PAGE = 10_000

#: No simulator needs larger requests.
_MAX_BODY = 8 * 1024 * 1024


async def start(stack: AsyncExitStack, tables: Iterable[Sequence[web.RouteDef]]) -> web.AppRunner:
    """An application with these routes, ready to take connections, torn down by the stack."""
    app = web.Application(client_max_size=_MAX_BODY)
    for table in tables:
        app.add_routes(table)
    # A client that gives up must not leave its handler waiting; nobody waits for one at the end.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    return runner


def json_response(value: object, *, status: int = 200) -> web.Response:
    """A JSON answer; dataclasses become objects."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def routes(knobs: Knobs, log: Log) -> Sequence[web.RouteDef]:
    """The control paths of one simulator."""

    async def get_knobs(_: web.Request) -> web.Response:
        return json_response(knobs.to_json())

    async def patch_knobs(request: web.Request) -> web.Response:
        try:
            changes = orjson.loads(await request.read())
            if not isinstance(changes, dict):
                raise ValueError("the body must be a JSON object")
            knobs.turn(changes)
        except ValueError as error:
            return json_response({"detail": str(error)}, status=422)
        return json_response(knobs.to_json())

    async def get_log(request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
            limit = min(_PAGE, int(request.query.get("limit", str(_PAGE))))
        except ValueError:
            return json_response({"detail": "after and limit are whole numbers"}, status=422)
        return json_response(
            {
                "total": log.total,
                "taken": log.taken,
                "counts": {fate.value: count for fate, count in log.counts.items()},
                "arrivals": log.after(max(0, after), max(0, limit)),
            }
        )

    async def delete_log(_: web.Request) -> web.Response:
        log.clear()
        return web.Response(status=204)

    return [
        web.get(PREFIX + "knobs", get_knobs),
        web.patch(PREFIX + "knobs", patch_knobs),
        web.get(PREFIX + "log", get_log),
        web.delete(PREFIX + "log", delete_log),
    ]
