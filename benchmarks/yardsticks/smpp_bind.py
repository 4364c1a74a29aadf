"""Messages by the adapter and its one bind: `… smpp_bind JSON COUNT`.

Without store. JSON is what `benchmarks.smpp_sink` printed. Prints submits a second and µs of CPU a
submit as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import orjson
import uvloop

from benchmarks.load import TEXT, WINDOW, phone
from gateway.clock import SystemClock
from gateway.model import smpp as pdus
from gateway.model import wire
from gateway.providers import registry, smpp
from gateway.transport.smpp import PooledSmppTransport


def message(number: int) -> wire.Message:
    return wire.Message(
        id=f"{number:036x}",
        reference=f"{number:036x}",
        channel=wire.Channel.SMS,
        category="service",
        to=wire.Address(phone=phone(number)),
        content=wire.Content(text=TEXT),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )


async def _send(provider: smpp.Provider, road: PooledSmppTransport, numbers: Iterator[int]) -> None:
    for number in numbers:
        for submit in provider.build_submits(message(number)):
            result = provider.read_answer(await road.send(submit, timeout=60))
            if not isinstance(result, wire.Accepted):
                raise RuntimeError(f"not taken: {result}")


async def _take(deliveries: Sequence[pdus.Delivery]) -> Sequence[int]:
    return [pdus.OK] * len(deliveries)


async def main(keys: str, count: int) -> None:
    provider = registry.build("centre", "smpp", orjson.loads(keys), SystemClock())
    assert isinstance(provider, smpp.Provider)
    numbers = iter(range(count))
    async with PooledSmppTransport(provider.options, clock=SystemClock()) as road:
        road.begin(_take)
        await _send(provider, road, iter([count]))  # until then it is not bound
        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(_send(provider, road, numbers) for _ in range(WINDOW)))
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(orjson.dumps({"rate": count / took, "cpu_us": cpu / count * 1e6}).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
