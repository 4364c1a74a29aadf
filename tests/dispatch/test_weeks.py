"""Weeks in the lives of a few messages, on virtual time: providers that fall silent for days,
receivers that are down, a store that goes away, processes that die, clocks that are set. Each seed
is one history; `pytest tests/dispatch/test_weeks.py -k 'well[17]'` repeats one.

Everything is real but the time, the wire and the store's threads: statements run in this thread,
on a database in memory, and take a seeded while before and after.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest

from gateway.clock import LoopClock
from gateway.dispatch import postman, upkeep, worker
from gateway.model import wire
from gateway.model.errors import StoreUnavailable
from gateway.model.message import Mode, OnUnknown
from gateway.model.state import State
from gateway.model.submission import Device, StepRequest, To
from gateway.store.sqlite import engine as engines
from gateway.store.sqlite import store as stores
from tests.dispatch.test_simulation import HOOK, Chaos, check

T = TypeVar("T")

HOUR, DAY = 3600.0, 86_400.0

#: Seconds between looks at the queue: in weeks, few of those that there are in a second.
_LOOK = 5.0

TABLES = {
    "tenants": {"billing": {"webhook": HOOK}},
    "lanes": {"sms": {"spill_after": f"{10 * _LOOK:.0f}s"}},
}

#: Of one history: messages, and the days over which things happen to them.
_MESSAGES, _DAYS = 5, 10


class SetClock(LoopClock):
    """Virtual time, with a wall clock that somebody may set."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class World:
    """What may go wrong below the gateway."""

    def __init__(self, chance: random.Random, clock: LoopClock) -> None:
        self.chance = chance
        self.is_away = False
        self.database = apsw.Connection(":memory:")
        self._clock = clock

    async def read(self, call: Callable[[apsw.Connection], T]) -> T:
        """At some moment of a little while."""
        await self._clock.sleep(self.chance.random() * 0.01)
        if self.is_away:
            raise StoreUnavailable("away")
        return call(self.database)

    async def write(self, call: Callable[[apsw.Connection], T]) -> T:
        """In one transaction, at some moment of a little while."""
        await self._clock.sleep(self.chance.random() * 0.01)
        if self.is_away:
            raise StoreUnavailable("away")
        self.database.execute("BEGIN IMMEDIATE")
        try:
            result = call(self.database)
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")
        await self._clock.sleep(self.chance.random() * 0.01)
        return result


class InlineEngine(engines.Engine):
    """The SQLite engine without its threads."""

    below: World

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, **options)

    async def open(self) -> None:
        engines._check_schema(self.below.database, Path("memory"), migrate=True)

    async def close(self) -> None:
        pass

    def require_space(self) -> None:
        pass

    async def write(self, call: Callable[[apsw.Connection], T]) -> T:
        return await self.below.write(call)

    async def read(self, call: Callable[[apsw.Connection], T]) -> T:
        return await self.below.read(call)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(datetime(2026, 11, 21, tzinfo=UTC))


@pytest.fixture
def below(seed: int, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(random.Random(seed), clock)
    engine = type("SeededEngine", (InlineEngine,), {"below": made})
    monkeypatch.setattr(stores, "Engine", engine)
    monkeypatch.setattr(os, "urandom", made.chance.randbytes)
    for name in ("_PROMOTE_EVERY", "_PARKED_EVERY", "_EXPIRE_EVERY"):
        monkeypatch.setattr(upkeep, name, _LOOK)
    for module, name in ((upkeep, "_REFRESH_EVERY"), (worker, "_POLL"), (postman, "_SEARCH_EVERY")):
        monkeypatch.setattr(module, name, 10 * _LOOK)
    return made


class History(Chaos):
    """What happens in these weeks, by one seed."""

    def __init__(self, world: Any, below: World, make: Callable[..., Awaitable[Any]], seed: int):
        super().__init__(world, seed)
        self.below = below
        self.make = make
        self.worlds = [world]
        self.ids: list[str] = []
        self.silent: set[str] = set()
        self._listen(world)

    def _listen(self, world: Any) -> None:
        world.receiver.answer = self._take_report

    def _take_report(self, message: wire.Message, time: int) -> wire.AttemptResult:
        if "webhook" in self.silent:
            return wire.Deferred(code="refused", cause=wire.Cause.CONNECT)
        return wire.Accepted()

    def answer(self, account: str, message: wire.Message) -> wire.AttemptResult:
        if account in self.silent and not self.is_over:
            if self.chance.random() < 0.5:
                return wire.Deferred(code="down", cause=wire.Cause.CONNECT)
            self.taken[message.reference] += 1
            return wire.Unknown(code="timeout")
        return super().answer(account, message)

    async def post(self) -> str:
        chance = self.chance
        self.posted += 1
        who = f"{self.posted:04d}"
        chain = [
            StepRequest(
                channel=channel,
                until=chance.choice([State.SENT, State.DELIVERED]),
                within=chance.choice([5.0, HOUR, DAY]),
            )
            for channel in chance.sample(["push", "sms", "email"], chance.randint(1, 3))
        ]
        now = datetime.fromtimestamp(self.world.clock.now_ms() / 1000, UTC)
        later = now + timedelta(seconds=chance.uniform(0, 3 * DAY))
        id_: str = await self.world.post(
            to=To(
                phone=f"+861380013{who}",
                email=f"{who}@example.com",
                push=tuple(Device(app=who, token=f"t{n}") for n in range(chance.randint(1, 2))),
            ),
            chain=tuple(chain),
            content={"text": "t", "subject": "s"},
            mode=chance.choice([Mode.CHAIN, Mode.CHAIN, Mode.ALL]),
            on_unknown=chance.choice(list(OnUnknown)),
            send_at=chance.choice([None, later]),
            expires_in=chance.choice([60.0, HOUR, DAY, 7 * DAY]),
        )
        self.ids.append(id_)
        return id_

    def plan(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        """(seconds from the start, what happens), in order."""
        chance = self.chance

        def day() -> float:
            return chance.uniform(0, _DAYS * DAY)

        things: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        things += [(chance.uniform(0, 3 * DAY), self._post) for _ in range(_MESSAGES)]
        things += [(day(), self._disturb) for _ in range(2 * _MESSAGES)]
        things += [(day(), self._set_clock) for _ in range(chance.randint(0, 2))]
        things += [(day(), self._lose_store) for _ in range(chance.randint(0, 2))]
        things += [(day(), self._die) for _ in range(chance.randint(0, 2))]
        for name in chance.sample([*self.world.senders, "webhook"], 2):
            begin = day()
            end = begin + chance.uniform(HOUR, 3.3 * DAY)
            things.append((begin, partial(self._silence, name, on=True)))
            things.append((end, partial(self._silence, name, on=False)))
        return sorted(things, key=lambda thing: thing[0])

    async def _post(self) -> None:
        await self.post()

    async def _disturb(self) -> None:
        if self.ids:
            await self.disturb(self.ids)

    async def _set_clock(self) -> None:
        self.world.clock.ahead_ms += self.chance.choice([-1, 1]) * int(HOUR * 1000)

    async def _silence(self, name: str, *, on: bool) -> None:
        (self.silent.add if on else self.silent.discard)(name)

    async def _lose_store(self) -> None:
        self.below.is_away = True
        await self.world.sleep(self.chance.choice([1.0, 30.0, 600.0]))
        self.below.is_away = False

    async def _die(self) -> None:
        await self.world.crash()
        self.world = await self.make(owner=f"n{len(self.worlds)}", **TABLES)
        self.worlds.append(self.world)
        self._listen(self.world)
        for name in self.world.senders:
            self.take_charge(self.world, name)
        await self.world.upkeep.adopt_orphans()
        self.world.start()

    async def run(self) -> None:
        start = self.world.clock.monotonic()
        self.world.start()
        for at, happens in self.plan():
            await self.leap(start + at)
            await happens()
        self.is_over = True
        self.silent.clear()
        end = self.world.clock.monotonic() + 30 * DAY
        while await self.world.rows():
            assert self.world.clock.monotonic() < end, await self.world.rows()
            await self.leap(self.world.clock.monotonic() + DAY)

    async def leap(self, until: float) -> None:
        """Let things happen until then; time in which nothing can is skipped."""
        clock = self.world.clock
        seen: object = None
        while (left := until - clock.monotonic()) > 0:
            await self.world.sleep(min(_LOOK + 1.0, left))
            rows = await self.world.sql(
                "SELECT message, step, part, owner, rank IS NULL, due_ms, expires_ms FROM queue"
            )
            if not rows and not self.is_over:
                await self.world.jump(max(0.0, until - clock.monotonic()))
            elif not rows:
                return
            elif rows == seen:
                await self.world.jump(min(self._next(rows), max(0.0, until - clock.monotonic())))
            seen = rows

    def _next(self, rows: list[Any]) -> float:
        """Seconds until something may happen that has not been begun."""
        now_ms, world = self.world.clock.now_ms(), self.world
        if any(owner is not None for _, _, _, owner, *_ in rows):
            return 0.0
        waits = [(min(due_ms, ends) - now_ms) / 1000 for *_, due_ms, ends in rows]
        waits += [account.paused_for() for account in world.accounts.values()]
        waits.append(world.postman._round.next_wake(world.clock.monotonic()))
        return max(0.0, min((one for one in waits if one > 0.0), default=0.0) - 0.1)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(200), indirect=True)


async def test_weeks_end_well(make_world: Any, below: World, seed: int) -> None:
    world = await make_world(owner="n0", **TABLES)
    history = History(world, below, make_world, seed)

    await history.run()

    for each in history.worlds[:-1]:  # what was in flight is gone with its process
        for account in each.accounts.values():
            account.in_flight = 0
    await asyncio.sleep(0)
    await check(history.worlds, history, history.ids)
