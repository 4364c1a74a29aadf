"""Pushes by the adapter and its one HTTP/2 connection: `… apns_connection JSON COUNT`.

Without store. JSON is what `benchmarks.push_sink` printed. Prints pushes a second and µs of CPU a
push as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import uvloop

from benchmarks.load import PUSHES, SUBJECT, TEXT, device
from gateway.clock import SystemClock
from gateway.model import wire
from gateway.providers import apns
from gateway.transport.base import HttpOptions
from gateway.transport.http2 import Http2Transport


def push(number: int) -> wire.Message:
    return wire.Message(
        id=f"{number:036x}",
        reference=f"{number:036x}",
        channel=wire.Channel.PUSH,
        category="service",
        to=wire.Address(app="bench", token=device(number)),
        content=wire.Content(title=SUBJECT, text=TEXT),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )


async def _send(provider: apns.Provider, road: Http2Transport, numbers: Iterator[int]) -> None:
    for number in numbers:
        [(messages, request)] = provider.build_requests([push(number)])
        answer = await road.send(request, timeout=60)
        [result] = provider.read_response(messages, answer)
        if not isinstance(result, wire.Accepted):
            raise RuntimeError(f"not taken: {result}")


async def main(keys: str, count: int) -> None:
    provider = apns.Provider("apns", apns.Settings(**orjson.loads(keys)), SystemClock())
    numbers = iter(range(count))
    options = HttpOptions(tls=provider.tls, limit_per_host=1, connect_timeout=60)
    async with Http2Transport(options) as road:
        await _send(
            provider, road, iter([count])
        )  # until then a server may not have told its limits
        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(_send(provider, road, numbers) for _ in range(PUSHES)))
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(orjson.dumps({"rate": count / took, "cpu_us": cpu / count * 1e6}).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
