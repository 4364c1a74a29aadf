"""A caller that keeps account of each request: what was asked, and what was answered, if anything.

Every message has an idempotency key that follows from its number, so a request that saw no answer
can be made again.
"""

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

import aiohttp

from tests.faults.traffic import KEY, Traffic

#: Messages of one request: alone, and in batches.
_SIZES = (1, 1, 1, 5, 20)

#: Least seconds after a request that nobody answered.
_NOBODY = 0.3

#: Requests under way at once.
_POSTERS = 4

#: Seconds after which a caller gives up on an answer.
PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One request."""

    numbers: tuple[int, ...]
    #: None: no answer came
    status: int | None
    #: one for each number; empty where it was refused
    ids: tuple[str, ...] = ()


class Log:
    """All requests, and what follows from them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        #: id of each number that was answered 202
        self.acknowledged: dict[int, str] = {}
        #: numbers of which some request saw no answer
        self.unanswered: set[int] = set()
        self.statuses: Counter[int | None] = Counter()
        #: bodies of errors, each once
        self.problems: set[str] = set()
        #: answers that contradict earlier ones, or that never should be given
        self.wrong: list[str] = []

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.statuses[entry.status] += 1
        if entry.status is None:
            self.unanswered.update(entry.numbers)
        elif entry.status != 202 and entry.status != 503:
            self.wrong.append(f"numbers {entry.numbers} were answered {entry.status}")
        for number, id in zip(entry.numbers, entry.ids, strict=False):
            self._acknowledge(number, id)

    def _acknowledge(self, number: int, id: str) -> None:
        if not id:
            self.wrong.append(f"number {number} was refused")
        elif self.acknowledged.setdefault(number, id) != id:
            self.wrong.append(f"number {number} is {self.acknowledged[number]} and {id}")

    @property
    def posted(self) -> int:
        """Messages in all requests."""
        return sum(len(entry.numbers) for entry in self.entries)

    @property
    def doubtful(self) -> int:
        """Messages in requests that were not told whether anything was stored."""
        return sum(len(entry.numbers) for entry in self.entries if entry.status in (None, 503))

    def open(self) -> list[tuple[int, ...]]:
        """Requests whose messages were never acknowledged, each as it was made."""
        waiting = {
            entry.numbers
            for entry in self.entries
            if any(number not in self.acknowledged for number in entry.numbers)
        }
        return sorted(waiting)


class Client:
    """Posts to whichever of the gateways is next. urls: of those that are meant to be there."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        traffic: Traffic,
        urls: Callable[[], Sequence[str]],
    ) -> None:
        self.log = Log()
        self.traffic = traffic
        self._session = session
        self._urls = urls
        self._turn = itertools.count()
        self._numbers = itertools.count(1)

    def next_numbers(self, count: int) -> tuple[int, ...]:
        return tuple(itertools.islice(self._numbers, count))

    async def post(
        self, numbers: tuple[int, ...], session: aiohttp.ClientSession | None = None
    ) -> Entry:
        """One request: a single message, or a batch. session: other connections than usual."""
        urls = self._urls()
        url = urls[next(self._turn) % len(urls)]
        headers = {"Authorization": f"Bearer {KEY}"}
        body: object
        if len(numbers) == 1:
            url += "/v1/messages"
            headers["Idempotency-Key"] = _key(numbers[0])
            body = self.traffic.message(numbers[0])
        else:
            url += "/v1/messages/batch"
            body = [{**self.traffic.message(n), "idempotency_key": _key(n)} for n in numbers]
        posted = (session or self._session).post(url, json=body, headers=headers)
        entry = await self._await(posted, numbers)
        self.log.add(entry)
        return entry

    async def _await(
        self,
        posted: AbstractAsyncContextManager[aiohttp.ClientResponse],
        numbers: tuple[int, ...],
    ) -> Entry:
        try:
            async with asyncio.timeout(PATIENCE), posted as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError):  # TimeoutError is one
            return Entry(numbers, None)
        if answer.status != 202:
            self.log.problems.add(text)
            return Entry(numbers, answer.status)
        value = json.loads(text)
        results = value.get("results", [value])
        self.log.problems.update(json.dumps(one) for one in results if "id" not in one)
        return Entry(numbers, 202, tuple(one.get("id", "") for one in results))

    async def repeat(self) -> None:
        """Ask again, once, whatever saw no answer or 503, as a caller would."""
        waiting = iter(self.log.open())

        async def ask() -> None:
            for numbers in waiting:
                await self.post(numbers)

        await asyncio.gather(*(ask() for _ in range(_POSTERS)))

    async def run(self, chance: random.Random, *, rate: float, stop: asyncio.Event) -> None:
        """Post about `rate` messages a second until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_POSTERS):
                group.create_task(self._post_on(chance, rate / _POSTERS, stop))

    async def _post_on(self, chance: random.Random, rate: float, stop: asyncio.Event) -> None:
        while not stop.is_set():
            numbers = self.next_numbers(chance.choice(_SIZES))
            entry = await self.post(numbers)
            pause = len(numbers) / rate
            with suppress(TimeoutError):
                async with asyncio.timeout(max(pause, _NOBODY) if entry.status is None else pause):
                    await stop.wait()


def _key(number: int) -> str:
    return f"planted-key-{number}"
