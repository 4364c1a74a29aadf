"""Celery with Redis and requests, what most Python teams write: `… celery_redis URL MESSAGES`.

A task posts one message over a session of its worker's process; `.delay()` enqueues it, and no
result is kept. Messages are acknowledged late, so that a worker may die, which cost no more than
early. Redis has them in memory: when it dies they are gone, as none of the gateway's are.

The pool is Celery's own, four processes. Two and eight of them were no faster on two cores.
Sixteen threads took a tenth less CPU a message, but they share one core: at best they came to 0.86
of it.
"""

import asyncio
import importlib
import os
import sys
import tempfile
from collections.abc import Mapping

from benchmarks.load import TEXT, phone
from benchmarks.processes import find, free_port, program, until_listening
from benchmarks.yardsticks import rival

#: Tasks that are enqueued before this process looks whether it is to end.
_SOME = 50


async def main(url: str, count: int) -> Mapping[str, float]:
    port = free_port()
    # The application reads them when it is imported, here as in the worker.
    os.environ |= {"BENCH_BROKER": f"redis://127.0.0.1:{port}/0", "BENCH_PROVIDER": url}
    with tempfile.TemporaryDirectory() as folder:
        async with program(*_redis(folder, port), grace=rival.GRACE) as redis:
            await until_listening(port)
            async with program(sys.executable, *_worker(), grace=rival.GRACE) as worker:
                return await rival.measure(_enqueue, url, count, redis.pid, worker.pid)


def _redis(folder: str, port: int) -> list[str]:
    """As it comes without a file of settings, but with no snapshots, so that it does less."""
    words = [find("redis-server") or "redis-server", "--port", str(port), "--bind", "127.0.0.1"]
    return [*words, "--dir", folder, "--save", "", "--loglevel", "warning"]


def _worker() -> list[str]:
    words = ["-m", "celery", "--app", "benchmarks.yardsticks.celery_app", "worker"]
    words += ["--pool", "prefork", "--concurrency", "4", "--loglevel", "WARNING"]
    return [*words, "--without-gossip", "--without-mingle"]


async def _enqueue(first: int, count: int) -> None:
    send = importlib.import_module("benchmarks.yardsticks.celery_app").send
    for number in range(first, first + count):
        send.delay(phone(number), TEXT)
        if number % _SOME == 0:
            await asyncio.sleep(0)


if __name__ == "__main__":
    rival.run(main(sys.argv[1], int(sys.argv[2])))
