"""A bare aiohttp client loop that stores nothing: `… http_client URL… MESSAGES`.

Each message goes to one URL after the other, over as many connections as the gateway is given.
Prints its messages a second and µs of CPU a message as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import aiohttp
import orjson
import uvloop

from benchmarks.load import CONNECTIONS, TEXT, phone


async def main(urls: Sequence[str], count: int) -> None:
    numbers = iter(range(count))
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post() -> None:
            for number in numbers:
                body = {"to": phone(number), "text": TEXT, "ref": "x" * 36}
                for url in urls:
                    async with session.post(f"{url}/v1/send", json=body) as answer:
                        orjson.loads(await answer.read())

        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(post() for _ in range(CONNECTIONS)))
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(orjson.dumps({"rate": count / took, "cpu_us": cpu / count * 1e6}).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:-1], int(sys.argv[-1])))
