"""What yardsticks share that consist of several processes: their frame, and when they are done."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import aiohttp
import orjson
import uvloop

from benchmarks.processes import cpu_seconds

#: Seconds that each of a yardstick's processes has to end, so that it ends all in its own time.
GRACE = 5.0

#: Seconds between looks at the simulator, and how long all may take.
_LOOK, _PATIENCE = 0.05, 600.0


def run(main: Coroutine[Any, Any, Mapping[str, float]]) -> None:
    """Print its figures as JSON when it has ended what it started, as it also does on SIGTERM."""
    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(_until_told(main))


async def _until_told(main: Coroutine[Any, Any, Mapping[str, float]]) -> None:
    task = asyncio.ensure_future(main)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    print(orjson.dumps(await task).decode(), flush=True)


async def measure(
    send: Callable[[int, int], Coroutine[Any, Any, None]], simulator: str, count: int, *pids: int
) -> Mapping[str, float]:
    """Messages a second and µs of CPU a message, until the simulator has all.

    send: given the first number and how many. pids: whose CPU counts, with their children's.
    """
    async with aiohttp.ClientSession() as session:
        warm = max(100, count // 20)
        await send(0, warm)
        await _until_taken(session, simulator, warm)
        begun, before = time.perf_counter(), cpu_seconds(*pids)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send(warm, count))
            await _until_taken(session, simulator, count)
            took, cpu = time.perf_counter() - begun, cpu_seconds(*pids) - before
    return {"rate": count / took, "cpu_us": cpu / count * 1e6}


async def _until_taken(session: aiohttp.ClientSession, simulator: str, count: int) -> None:
    """Wait until the simulator has so many messages, and let it count from 0 again."""
    url = f"{simulator}/_sandbox/log"
    async with asyncio.timeout(_PATIENCE):
        # What is waited for happens in another process.
        while await _taken(session, url) < count:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)
    async with session.delete(url):
        pass


async def _taken(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as answer:
        return int(orjson.loads(await answer.read())["taken"])
