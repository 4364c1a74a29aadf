"""Posts receipts when they are due: one bounded heap, a few workers, no task per receipt."""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import TracebackType
from typing import Self, TypeAlias

import aiohttp
import yarl

from gateway.model import wire

#: Receipts in flight at once.
WORKERS = 32


class Trouble(StrEnum):
    """Why a receipt got no answer."""

    CONNECT = "connect"  # no connection
    READ = "read"  # no answer in time, or the connection broke


#: The status of the answer, or why there was none.
Outcome: TypeAlias = int | Trouble


def not_ok(outcome: Outcome) -> bool:
    """Whether anything but a 2xx came."""
    return isinstance(outcome, Trouble) or not 200 <= outcome < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One receipt to be posted."""

    #: called for each try, so that signatures can carry the time of the try
    build: Callable[[], wire.HttpRequest]
    #: further tries, each made only if `again` says so of the one before
    retries: int = 0
    again: Callable[[Outcome], bool] = not_ok
    retry_delay: Callable[[], float] = field(default=lambda: 1.0)
    connect_timeout: float = 5.0
    total_timeout: float = 15.0


class Reporter:
    """Posts reports. Enter it before use; leaving it drops those that still wait."""

    def __init__(self, *, limit: int = 1_000_000) -> None:
        self._limit = limit
        self._heap: list[tuple[float, int, Report]] = []
        self._order = itertools.count()
        self._unfinished = 0
        self._task: asyncio.Task[None] | None = None
        #: tries by outcome: `2xx` … `5xx`, `connect`, `read`; and `dropped` for want of room
        self.counts: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ready: asyncio.Queue[Report] = asyncio.Queue(WORKERS)
        # A task of its own: fixtures may leave in another task than they entered in, which a
        # task group does not allow.
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is None:
            return
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            if not self._task.cancelled():
                raise

    @property
    def pending(self) -> int:
        """Reports that are waiting or in flight."""
        return self._unfinished

    async def join(self) -> None:
        """Wait until every report has been accepted or given up."""
        await self._idle.wait()

    def schedule(self, delay: float, report: Report) -> None:
        """Post it in `delay` seconds; past the limit it is dropped and counted."""
        if self._unfinished >= self._limit:
            self.counts["dropped"] += 1
            return
        self._unfinished += 1
        self._idle.clear()
        self._push(delay, report)

    def _push(self, delay: float, report: Report) -> None:
        due = asyncio.get_running_loop().time() + delay
        heapq.heappush(self._heap, (due, next(self._order), report))
        if self._heap[0][2] is report:
            self._wake.set()

    async def _run(self) -> None:
        # Nothing from the environment: a proxy there must not see loopback traffic.
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=WORKERS), cookie_jar=aiohttp.DummyCookieJar()
        )
        async with session, asyncio.TaskGroup() as group:
            group.create_task(self._pump())
            for _ in range(WORKERS):
                group.create_task(self._work(session))

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wait = self._heap[0][0] - loop.time() if self._heap else None
            if wait is not None and wait <= 0:
                await self._ready.put(heapq.heappop(self._heap)[2])
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            report = await self._ready.get()
            outcome = await _post(session, report)
            self._count(outcome)
            if report.retries and report.again(outcome):
                self._push(report.retry_delay(), replace(report, retries=report.retries - 1))
                continue
            self._unfinished -= 1
            if not self._unfinished:
                self._idle.set()

    def _count(self, outcome: Outcome) -> None:
        self.counts[outcome if isinstance(outcome, Trouble) else f"{outcome // 100}xx"] += 1


async def _post(session: aiohttp.ClientSession, report: Report) -> Outcome:
    request = report.build()
    timeout = aiohttp.ClientTimeout(total=report.total_timeout, sock_connect=report.connect_timeout)
    try:
        async with session.request(
            request.method,
            # Signatures cover the URL as it was given, so it must not be quoted anew.
            yarl.URL(request.url, encoded=True),
            headers=_headers(request.headers),
            data=request.body,
            timeout=timeout,
            allow_redirects=False,
        ) as response:
            await response.read()
            return response.status
    except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, aiohttp.ConnectionTimeoutError):
        return Trouble.CONNECT
    except (aiohttp.ClientError, TimeoutError):
        return Trouble.READ


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {"User-Agent": "sandbox", **headers}
