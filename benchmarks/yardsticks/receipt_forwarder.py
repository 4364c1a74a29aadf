"""An aiohttp.web handler that verifies receipts and passes each on as a signed webhook:
`… receipt_forwarder WEBHOOK_URL`. It stores nothing, and forgets what does not arrive.

Prints its URL.
"""

import asyncio
import sys

import aiohttp
import orjson
import uvloop
from aiohttp import web
from standardwebhooks import Webhook

from benchmarks.receipts import SECRET, signed


async def main(target: str) -> None:
    verifier = Webhook(SECRET)
    session = aiohttp.ClientSession()

    async def take(request: web.Request) -> web.Response:
        receipt = verifier.verify(await request.read(), dict(request.headers))
        body = orjson.dumps({"type": "message.delivered", "data": receipt})
        async with session.post(target, data=body, headers=signed(receipt["ref"], body)) as answer:
            await answer.read()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/v1/receipts/acme", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
