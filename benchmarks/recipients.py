"""`recipients`: a long list of people into the gateway, and how messages that name them find them.

The list comes over HTTP in one request, as NDJSON in pieces, while a second list as long as the
first shows whether memory grows with what is kept. Looking up is what a batch of messages asks of
the store, with all that the gateway makes of the answer. On SQLite and on PostgreSQL in turn.
"""

import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from benchmarks import load
from benchmarks.databases import database
from benchmarks.processes import STORE, Cores, Running, apart, gateway, on, usage
from benchmarks.report import Chart, Result, least, rounds, spread
from gateway.dispatch import naming
from gateway.model.submission import Submission, To
from gateway.store import base
from gateway.store.postgres.store import PostgresStore
from gateway.store.sqlite.store import SqliteStore

#: Rows of a piece of the list, and messages that are looked up together.
_PIECE = _BATCH = 500

#: Batches that are looked up.
_LOOKED_UP = 40

#: Rows a second on one core, and bytes that memory may grow by while as many rows come again.
_RATE, _GROWTH = 10_000, 16e6

#: Nothing is sent.
_CONFIG = (
    load.TENANT
    + load.provider("http://127.0.0.1:9")
    + '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
)
_ENGINES = ("SQLite", "PostgreSQL")


async def run(scale: float, progress: load.Progress) -> Result:
    count = max(least(scale, 5_000, _BATCH), int(100_000 * scale))
    found = defaultdict[str, list[_Found]](list)
    with apart() as cores:
        for number in range(rounds(scale)):
            for engine in _ENGINES:
                found[engine].append(await _round(engine, count, cores))
            progress(number + 1, rounds(scale))
    return _result(found, count, cores)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one round found out."""

    #: rows a second, of the second list
    rate: float
    cpu_us: float
    #: between the two lists
    growth_bytes: int
    #: µs a message
    look_up_us: float


async def _round(engine: str, count: int, cores: Cores) -> _Found:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        at = await stack.enter_async_context(database()) if engine == "PostgreSQL" else ""
        async with (
            gateway(folder, _CONFIG, store=at, cores=cores) as running,
            load.session() as client,
        ):
            await _upload(client, running, 0, count)
            before = usage(running.pid)
            took = await _upload(client, running, count, count)
            after = usage(running.pid)
        store: base.Store = (
            PostgresStore(at, owner="bench") if at else SqliteStore(folder / STORE, owner="bench")
        )
        async with store:
            look_up_us = await _look_up(store, 2 * count)
    return _Found(
        rate=count / took,
        cpu_us=(after.cpu_seconds - before.cpu_seconds) / count * 1e6,
        growth_bytes=after.resident_bytes - before.resident_bytes,
        look_up_us=look_up_us,
    )


async def _upload(client: aiohttp.ClientSession, running: Running, first: int, count: int) -> float:
    """Seconds until all rows are on disk."""
    headers = {"Content-Type": "application/x-ndjson"}
    begun = time.perf_counter()
    async with client.post(
        f"{running.api}/v1/recipients/bulk", data=_rows(first, count), headers=headers
    ) as answer:
        said = orjson.loads(await answer.read())
        if answer.status != 200 or said["new"] != count:
            raise RuntimeError(f"the gateway answered {answer.status}: {said!s:.500}")
    return time.perf_counter() - begun


async def _rows(first: int, count: int) -> AsyncIterator[bytes]:
    for start in range(first, first + count, _PIECE):
        rows = (_row(number) for number in range(start, min(start + _PIECE, first + count)))
        yield b"\n".join(map(orjson.dumps, rows)) + b"\n"


def _row(number: int) -> dict[str, object]:
    return {
        "id": _id(number),
        "phone": load.phone(number),
        "email": load.email(number),
        "push": [{"app": "ios", "token": f"{number:064x}"}],
        "locale": "zh-CN",
        "zone": "Asia/Shanghai",
        "attributes": {"city": "Hangzhou"},
    }


def _id(number: int) -> str:
    return f"user-{number}"


async def _look_up(store: base.Store, count: int) -> float:
    """Microseconds a message, the median of batches of people who stand anywhere in the list."""
    chance = random.Random(1)
    took: list[float] = []
    for _ in range(_LOOKED_UP):
        named = [
            Submission(to=To(recipient=_id(chance.randrange(count))), category="service")
            for _ in range(_BATCH)
        ]
        begun = time.perf_counter()
        filled = await naming.resolve(store, "bench", named)
        took.append(time.perf_counter() - begun)
        assert all(isinstance(one, Submission) and one.to.phone for one in filled)
    return statistics.median(took) / _BATCH * 1e6


def _result(found: dict[str, list[_Found]], count: int, cores: Cores) -> Result:
    rates = {engine: [one.rate for one in those] for engine, those in found.items()}
    growth = {engine: [one.growth_bytes for one in those] for engine, those in found.items()}
    figures: dict[str, float | int | str] = {"rows of each list": count}
    for engine, those in found.items():
        figures |= {
            f"{engine}, rows/s": spread(rates[engine]),
            f"{engine}, CPU µs/row": spread([one.cpu_us for one in those]),
            f"{engine}, resident MB more after the second list": spread(
                [one / 1e6 for one in growth[engine]]
            ),
            f"{engine}, look-up µs/message": spread([one.look_up_us for one in those]),
        }
    return Result(
        name="recipients",
        goal=f"{_RATE:,} rows/s on one core on SQLite, and on both at most {_GROWTH / 1e6:.0f} MB "
        "more after the second list",
        reached=statistics.median(rates["SQLite"]) >= _RATE
        and all(statistics.median(growth[one]) <= _GROWTH for one in _ENGINES),
        figures=figures,
        charts=[Chart(title=f"recipients: rows a second{on(cores)}", bars=rates)],
    )
