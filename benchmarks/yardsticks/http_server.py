"""An aiohttp.web handler that parses the gateway's requests, answers ids and stores nothing.

Prints its URL.
"""

import asyncio
import uuid

import orjson
import uvloop
from aiohttp import web


def _answer(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=202, content_type="application/json")


async def single(request: web.Request) -> web.Response:
    orjson.loads(await request.read())
    return _answer({"id": str(uuid.uuid4()), "state": "queued"})


async def batch(request: web.Request) -> web.Response:
    items = orjson.loads(await request.read())
    return _answer({"results": [{"id": str(uuid.uuid4()), "state": "queued"} for _ in items]})


async def main() -> None:
    app = web.Application(client_max_size=4 * 2**20)
    app.router.add_post("/v1/messages", single)
    app.router.add_post("/v1/messages/batch", batch)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
