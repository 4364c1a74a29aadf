"""One fault, played by a schedule that follows from a seed, and what must hold afterwards.

The seed decides what is posted and what happens when. Processes do not run in step, so the same
seed gives the same schedule, not the same interleaving: a failure may need a few repetitions.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.faults.bench import Bench, Hosts, eventually
from tests.faults.check import check
from tests.faults.client import Entry
from tests.faults.nodes import Node
from tests.faults.traffic import MIX
from tests.faults.verdict import Verdict

#: Between two looks at a file, in seconds.
_GLANCE = 0.0005

#: Acknowledged numbers that are posted again at the end.
_REPEATED = 20


class Form(StrEnum):
    """How much of it: for each run of the tests, or for `make faults`."""

    SHORT = "short"
    LONG = "long"


# When


@dataclass(frozen=True, slots=True)
class Posted:
    """So many messages more were posted, whatever was answered."""

    messages: int

    def __str__(self) -> str:
        return f"{self.messages} messages later"

    async def come(self, trial: "Trial") -> None:
        enough = trial.bench.client.log.posted + self.messages

        async def look() -> bool:
            return trial.bench.client.log.posted >= enough

        await eventually(look, patience=600.0, what=str(self))


@dataclass(frozen=True, slots=True)
class Arrived:
    """So many requests more reached the providers."""

    messages: int

    def __str__(self) -> str:
        return f"{self.messages} arrivals later"

    async def come(self, trial: "Trial") -> None:
        enough = trial.bench.arrivals.total + self.messages

        async def look() -> bool:
            return trial.bench.arrivals.total >= enough

        await eventually(look, what=str(self))


@dataclass(frozen=True, slots=True)
class Seconds:
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:g} s later"

    async def come(self, trial: "Trial") -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Grown:
    """A file of the database has grown by so much: a commit is on its way to the disk."""

    size_bytes: int
    suffix: str = "-wal"

    def __str__(self) -> str:
        return f"{self.size_bytes} bytes of {self.suffix} later"

    async def come(self, trial: "Trial") -> None:
        path = trial.bench.database.url.removeprefix("sqlite://") + self.suffix
        await asyncio.to_thread(_watch, path, self.size_bytes)


def _watch(path: str, growth: int) -> None:
    def size() -> int:
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return 0

    first, until = size(), time.monotonic() + 30.0
    while size() < first + growth and time.monotonic() < until:
        time.sleep(_GLANCE)


@dataclass(frozen=True, slots=True)
class Shown:
    """So many attempts more have ended in a way."""

    #: `%`: any
    provider: str
    outcome: str
    #: its beginning
    code: str
    attempts: int = 1

    def __str__(self) -> str:
        return f"{self.attempts} {self.outcome} by {self.provider} ({self.code or 'any'}) later"

    async def come(self, trial: "Trial") -> None:
        enough = await self._count(trial) + self.attempts

        async def look() -> bool:
            return await self._count(trial) >= enough

        await eventually(look, what=str(self))

    async def _count(self, trial: "Trial") -> int:
        rows = await trial.bench.database.rows(
            f"""SELECT count(*) FROM attempt WHERE provider LIKE '{self.provider}'
            AND outcome = '{self.outcome}' AND code LIKE '{self.code}%'"""
        )
        return int(rows[0][0])


@dataclass(frozen=True, slots=True)
class Status:
    """Another request was answered so."""

    status: int

    def __str__(self) -> str:
        return f"after a {self.status}"

    async def come(self, trial: "Trial") -> None:
        statuses = trial.bench.client.log.statuses
        before = statuses[self.status]

        async def look() -> bool:
            return statuses[self.status] > before

        await eventually(look, what=f"a {self.status}")


When = Posted | Arrived | Seconds | Grown | Shown | Status

Action = Callable[["Trial"], Awaitable[None]]


async def wait(trial: "Trial") -> None:
    """Nothing happens but that the moment came."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens, and when, counted from the moment before."""

    when: When
    what: str
    do: Action


#: Makes the schedule from chance.
Plan = Callable[[random.Random, Form], Sequence[Moment]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault."""

    name: str
    #: one line
    what: str
    plan: Plan
    #: messages a second
    rate: float = 60.0
    mix: Mapping[str, int] = field(default_factory=lambda: MIX)
    #: laid over the configuration; such a case does not share its gateway with others
    changes: Mapping[str, Any] = field(default_factory=dict)
    #: in which forms these changes are made
    changed: frozenset[Form] = frozenset(Form)
    #: whether the tenant is told of its messages
    reports: bool = True
    engine: str = "sqlite"
    nodes: int = 1
    node: type[Node] = Node
    hosts: Hosts | None = None
    #: what shows that the fault struck; else the case proves nothing
    struck: Callable[["Trial", Verdict], Iterable[str]] = lambda trial, verdict: ()
    #: in these forms
    forms: frozenset[Form] = frozenset(Form)
    #: whether the moments start the gateways themselves
    starts: bool = False
    #: seconds until the queue must be empty, in the short form
    patience: float = 60.0

    def is_own(self, form: Form) -> bool:
        """Whether it needs a configuration of its own."""
        return form in self.changed and bool(self.changes)

    def shared(self, form: Form) -> str:
        """The same for all that may use one bench, one after another; else empty."""
        if self.is_own(form) or self.node is not Node:
            return ""
        return f"{self.engine} by {self.nodes}"


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of a case."""

    fault: str
    seed: int
    form: Form
    verdict: Verdict = field(default_factory=Verdict)
    #: from the end of the fault until nothing was left to do
    recovery_seconds: float = 0.0
    schedule: Sequence[str] = ()
    broken: Sequence[str] = ()

    @property
    def repeat(self) -> str:
        """The line that runs it again."""
        short = " --short" if self.form is Form.SHORT else ""
        return f"python -m tests.faults --only {self.fault} --seed {self.seed}{short}"

    def to_json(self) -> dict[str, Any]:
        return {
            "fault": self.fault,
            "seed": self.seed,
            "form": self.form,
            "messages": self.verdict.messages,
            "lost": self.verdict.lost,
            "duplicated": self.verdict.duplicated,
            "unknown": self.verdict.unknown,
            "states": dict(self.verdict.states),
            "recovery_seconds": self.recovery_seconds,
            "schedule": list(self.schedule),
            "broken": list(self.broken),
            "repeat": self.repeat,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Result":
        """The inverse of `to_json`."""
        counts = {name: value[name] for name in ("messages", "lost", "duplicated", "unknown")}
        return cls(
            fault=value["fault"],
            seed=value["seed"],
            form=Form(value["form"]),
            verdict=Verdict(**counts),
            recovery_seconds=value["recovery_seconds"],
            schedule=value["schedule"],
            broken=value["broken"],
        )

    def explain(self) -> str:
        return "\n".join(
            [
                f"{self.fault}, seed {self.seed}. To repeat it:",
                f"  {self.repeat}",
                "Schedule:",
                *(f"  {line}" for line in self.schedule),
                "Broken:",
                *(f"  {line}" for line in self.broken),
            ]
        )


class Trial:
    """One run of a case on a bench."""

    def __init__(self, case: Case, bench: Bench, *, seed: int, form: Form) -> None:
        self.case = case
        self.bench = bench
        self.form = form
        self.seed = seed
        self.chance = random.Random(f"{seed}/{case.name}")
        #: whatever moments leave for each other
        self.notes: dict[str, Any] = {}
        self.schedule: list[str] = []
        self._started = time.monotonic()
        self._first_entry = len(bench.client.log.entries)
        self._first_codes = [len(node.codes) for node in bench.nodes]

    @property
    def entries(self) -> Sequence[Entry]:
        """Requests of this trial."""
        return self.bench.client.log.entries[self._first_entry :]

    @property
    def codes(self) -> Sequence[int]:
        """With which gateways ended in this trial."""
        nodes = zip(self.bench.nodes, self._first_codes, strict=True)
        return [code for node, first in nodes for code in node.codes[first:]]

    async def run(self) -> Result:
        """Play it all. Nothing is raised for what an invariant says."""
        plan = self.case.plan(random.Random(f"{self.seed}/{self.case.name}"), self.form)
        before, verdict, took = self.bench.verdict, Verdict(), 0.0
        self.bench.traffic.mix = self.case.mix
        try:
            if not self.case.starts:
                await self.bench.start_all()
            async with self.load():
                for moment in plan:
                    await self._play(moment)
            took = await self._recover()
            self.bench.verdict = found = await check(self.bench)
            verdict = found.since(before)
            broken = [*verdict.broken, *self.case.struck(self, verdict)]
        except AssertionError as error:
            broken = [str(error)]
        return Result(
            fault=self.case.name,
            seed=self.seed,
            form=self.form,
            verdict=verdict,
            recovery_seconds=took,
            schedule=self.schedule,
            broken=broken,
        )

    async def _play(self, moment: Moment) -> None:
        await moment.when.come(self)
        if moment.what:
            self.note(f"{moment.when}: {moment.what}")
        await moment.do(self)

    def note(self, what: str) -> None:
        self.schedule.append(f"{time.monotonic() - self._started:7.3f} s  {what}")

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """A caller who posts all the while."""
        stop = asyncio.Event()
        work = self.bench.client.run(self.chance, rate=self.case.rate, stop=stop)
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            stop.set()
            await task

    async def _recover(self) -> float:
        """Seconds until all that was posted is answered and done."""
        began = time.monotonic()
        await self.bench.start_all()
        patience = self.case.patience * (1 if self.form is Form.SHORT else 10)
        await eventually(self._is_answered, patience=patience, what="every answer")
        log = self.bench.client.log
        known = sorted(log.acknowledged)
        for number in self.chance.sample(known, min(_REPEATED, len(known))):
            await self.bench.client.post((number,))
        await self.bench.drain(patience=patience)
        took = time.monotonic() - began
        self.note(f"drained: {took:.1f} s after the last moment")
        return took

    async def _is_answered(self) -> bool:
        await self.bench.client.repeat()
        return not self.bench.client.log.open()
