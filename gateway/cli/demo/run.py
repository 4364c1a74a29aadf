"""Starts everything, posts the stream of messages, and follows them to their end."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.cli import ports, sandbox
from gateway.cli.client import Client, Refused
from gateway.cli.demo import child, people, report, scenario
from gateway.cli.demo.tally import Tally
from gateway.cli.stand import Stand
from gateway.model.errors import TransportError
from gateway.sandbox.magic import Fate

#: Seconds between looks at the numbers.
_LOOK_EVERY = 0.25

#: Seconds that messages get to come to their end after the last was posted.
_SETTLE = 20.0

#: Share of their sends that the first SMS providers fail, in the world and in China.
_FAILURES, _OFTEN = 0.25, 0.5

#: Posts under way at once, beyond which the stream falls behind rather than pile up.
_MOST_POSTS = 64

#: Whose timelines are shown in the end: a fallback between channels, one between providers, a
#: step that a late receipt cancelled, and what was held back for its recipient's sake.
EXAMPLES = (
    "push, no receipt",
    "provider fails",
    "receipt too late",
    "quiet hours",
    "opted out",
    "over the cap",
)

#: (numbers, what is going on)
Show = Callable[[report.Report, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    #: seconds of sending; None: until told to stop
    seconds: float | None
    #: messages a second
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where to look."""

    api: str
    internal: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    report: report.Report
    #: messages as the API gives them, by scenario
    examples: Mapping[str, Mapping[str, Any]]


async def run(
    plan: Plan, folder: Path, *, started: Callable[[Addresses], None], show: Show
) -> Result:
    """The whole demo. started: called when the gateway is up; show: several times a second."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    _listen_to_signals(stop, hurry)
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(ports.bind())
        port, internal_port = bound.numbers
        api, internal = (f"http://{ports.HOST}:{one}" for one in bound.numbers)
        stand = await stack.enter_async_context(Stand(port=port))
        _make_trouble(stand, plan.rate)
        file = stand.write(folder, port=port, internal_port=internal_port)
        await stack.enter_async_context(child.started(file, bound))
        started(Addresses(api=api, internal=internal, folder=folder))
        caller = await stack.enter_async_context(Client(api, sandbox.API_KEY))
        operator = await stack.enter_async_context(Client(internal))
        quiet_until = await people.describe(caller)
        return await _Demo(stand, caller, operator, plan, show, hurry, quiet_until).run(stop)


def _listen_to_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    """The first ends the sending, the second the waiting for what has been sent."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: (hurry if stop.is_set() else stop).set())


def _make_trouble(stand: Stand, rate: float) -> None:
    """Two providers that fail now and then, and one that throttles every batch."""
    stand.acme.knobs.error_rate, stand.aliyun.knobs.error_rate = _FAILURES, _OFTEN
    stand.acme.knobs.error = stand.aliyun.knobs.error = Fate.TEMPORARY
    stand.bulk.knobs.throttle = scenario.newsletters(rate)[1]


@dataclass(slots=True)
class _Demo:
    stand: Stand
    caller: Client
    operator: Client
    plan: Plan
    show: Show
    #: do not wait for messages to end
    hurry: asyncio.Event
    #: HH:MM in UTC
    quiet_until: str
    tally: Tally = field(default_factory=Tally)
    posts: set[asyncio.Task[None]] = field(default_factory=set)
    batch: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> Result:
        self.stand.receiver.log.watchers.append(self.tally.hear)
        since = time.monotonic()
        looking = asyncio.create_task(self._look(since, stop))
        try:
            await self._post_all(stop)
            await self._settle()
        finally:
            looking.cancel()
        return Result(report=await self._report(since), examples=await self._examples())

    async def _post_all(self, stop: asyncio.Event) -> None:
        """Post at the rate, whatever the answers take, until time is up or told to stop."""
        since, number, kinds = time.monotonic(), 0, scenario.mix()
        while not stop.is_set() and not self._is_over(since):
            due = int((time.monotonic() - since) * self.plan.rate) + 1
            while number < due and len(self.posts) < _MOST_POSTS:
                self._post(next(kinds), number)
                number += 1
            await _wait(stop, 1 / max(self.plan.rate, 20.0))
        self._post_batch()
        if self.posts:
            await asyncio.wait(self.posts)

    def _is_over(self, since: float) -> bool:
        return self.plan.seconds is not None and time.monotonic() - since >= self.plan.seconds

    def _post(self, kind: scenario.Scenario, number: int) -> None:
        self.tally.submit(kind, number)
        body = {**kind.body(number), "metadata": {"scenario": kind.name, "number": number}}
        if not kind.batched:
            self._start(self._post_one(number, body))
            return
        self.batch.append((number, body))
        if len(self.batch) >= scenario.newsletters(self.plan.rate)[0]:
            self._post_batch()

    def _post_batch(self) -> None:
        if self.batch:
            self._start(self._post_many(self.batch))
            self.batch = []

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.posts.add(task)
        task.add_done_callback(self.posts.discard)

    async def _post_one(self, number: int, body: Mapping[str, Any]) -> None:
        try:
            answer = await self.caller.submit(body)
        except (Refused, TransportError):
            self.tally.drop(number)
        else:
            self.tally.answered(number, answer)

    async def _post_many(self, batch: list[tuple[int, Mapping[str, Any]]]) -> None:
        try:
            results = await self.caller.submit_all([body for _, body in batch])
        except (Refused, TransportError):
            results = [{"problem": {}}] * len(batch)
        for (number, _), result in zip(batch, results, strict=True):
            if "problem" in result:
                self.tally.drop(number)

    async def _settle(self) -> None:
        """Until every message has come to its end, or patience is out."""
        deadline = time.monotonic() + _SETTLE
        while self.tally.waiting and not self.hurry.is_set() and time.monotonic() < deadline:
            await _wait(self.hurry, _LOOK_EVERY / 2)

    async def _look(self, since: float, stop: asyncio.Event) -> None:
        while True:
            note = "sending"
            if stop.is_set() or self._is_over(since):
                note = f"waiting for {self.tally.waiting} messages to end; Ctrl-C ends the wait"
            elif self.plan.seconds is None:
                note = "sending until Ctrl-C"
            try:
                self.show(await self._report(since), note)
            except TransportError:
                return  # it has gone; whoever notices first says so
            await asyncio.sleep(_LOOK_EVERY)

    async def _report(self, since: float) -> report.Report:
        samples = await self.operator.metrics()
        return report.make(
            self.tally,
            self.stand,
            samples,
            seconds=time.monotonic() - since,
            quiet_until=self.quiet_until,
        )

    async def _examples(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            name: await self.caller.read(self.tally.examples[name])
            for name in EXAMPLES
            if name in self.tally.examples
        }


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
