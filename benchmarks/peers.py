"""The other ends, each as a process of its own: `python -m benchmarks.peers <kind> …`."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import orjson
import uvloop

from gateway.sandbox.fast import FastHttpSimulator

#: Connections of the yardstick, as many as the gateway is given.
CONNECTIONS = 64


async def fast() -> None:
    """A cheap HTTP provider; prints its URL."""
    async with FastHttpSimulator() as simulator:
        print(simulator.url, flush=True)
        await asyncio.Event().wait()


async def bare() -> None:
    """The yardstick: a bare aiohttp client loop that stores nothing. Prints messages a second.

    Arguments: URL, messages.
    """
    url, count = sys.argv[2], int(sys.argv[3])
    numbers = iter(range(count))
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post() -> None:
            for number in numbers:
                body = {"to": phone(number), "text": "Your parcel is on its way.", "ref": "x" * 36}
                async with session.post(url, json=body) as answer:
                    orjson.loads(await answer.read())

        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(post() for _ in range(CONNECTIONS)))
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(orjson.dumps({"rate": count / took, "cpu_us": cpu / count * 1e6}).decode(), flush=True)


def phone(number: int) -> str:
    """A mobile number for each message."""
    return f"+86138{number:08d}"


_KINDS: Mapping[str, Callable[[], Awaitable[None]]] = {"fast": fast, "bare": bare}


async def _main() -> None:
    await _KINDS[sys.argv[1]]()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_main())
