"""A bucket that several nodes share: together they keep the rate, and use it."""

import asyncio
import math
import random
from collections.abc import Sequence

import pytest

from gateway.clock import LoopClock
from gateway.limits.limiter import Limiter
from gateway.limits.shared import SharedBucket
from gateway.model.tokens import Demand, Grant


class Row:
    """The shared row, as a store keeps it, at the end of a slow line."""

    def __init__(self, clock: LoopClock, *, latency: float, seed: int = 1) -> None:
        self.asked: list[Demand] = []
        self.level = 0.0
        self.returned = 0
        self.away = False
        self.least_latency = 0.0
        self._clock = clock
        self._at = clock.monotonic()
        self._latency = latency
        self._chance = random.Random(seed)

    async def take(self, demand: Demand) -> Grant | None:
        self.asked.append(demand)
        await self._travel()
        grant = None if self.away else self._give(demand)
        await self._travel()
        return grant

    async def _travel(self) -> None:
        await self._clock.sleep(max(self.least_latency, self._chance.random() * self._latency))

    async def give_back(self, tokens: int, capacity: float) -> None:
        await self._clock.sleep(self._chance.random() * self._latency)
        self.level = min(capacity, self.level + tokens)
        self.returned += tokens

    def _give(self, demand: Demand) -> Grant:
        now = self._clock.monotonic()
        self.level = min(demand.capacity, self.level + (now - self._at) * demand.rate)
        self._at = now
        needed = min(demand.least, demand.capacity - demand.floor) + demand.floor
        delay = max(0.0, (needed - self.level) / demand.rate)
        if delay > demand.ahead + 1e-9:
            return Grant(tokens=0, wait=delay - demand.ahead)
        given = max(demand.least, math.floor(min(demand.most, self.level - demand.floor) + 1e-9))
        self.level -= given
        after = max(0.0, (1.0 + demand.floor - self.level) / demand.rate - demand.ahead)
        return Grant(tokens=given, delay=delay, wait=after)


class Far:
    """The same row, further away."""

    def __init__(self, row: Row, clock: LoopClock, seconds: float) -> None:
        self._row, self._clock, self._seconds = row, clock, seconds

    async def take(self, demand: Demand) -> Grant | None:
        await self._clock.sleep(self._seconds)
        grant = await self._row.take(demand)
        await self._clock.sleep(self._seconds)
        return grant

    async def give_back(self, tokens: int, capacity: float) -> None:
        await self._row.give_back(tokens, capacity)


async def send(limiter: Limiter, clock: LoopClock, log: list[float]) -> None:
    while True:
        await limiter.admit(1.0, 2)
        log.append(clock.monotonic())


async def run(
    clock: LoopClock, row: Row, *, nodes: int, rate: float, burst: float, seconds: float
) -> list[float]:
    """When each send of several busy nodes happened."""
    log: list[float] = []
    limiters = [
        Limiter(SharedBucket(rate=rate, burst=burst, row=row), clock, {}) for _ in range(nodes)
    ]
    tasks = [asyncio.create_task(send(one, clock, log)) for one in limiters for _ in range(8)]
    await clock.sleep(seconds)
    for task in tasks:
        task.cancel()
    for one in limiters:
        one.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    return log


def worst_excess(times: Sequence[float], rate: float, burst: float, slack: float) -> float:
    """By how much the fullest window is over burst + rate·(w + slack)."""
    lowest, worst = math.inf, -math.inf
    for number, at in enumerate(times):
        height = number - rate * at
        lowest = min(lowest, height)
        worst = max(worst, height - lowest + 1 - burst - rate * slack)
    return worst


@pytest.mark.parametrize(
    ("rate", "burst"), [(200.0, 40.0), (50.0, 10.0), (1000.0, 30.0), (20.0, 4.0)]
)
@pytest.mark.parametrize("nodes", [1, 4])
async def test_nodes_together_keep_the_limit_and_use_it(
    clock: LoopClock, nodes: int, rate: float, burst: float
) -> None:
    row, seconds = Row(clock, latency=0.003), max(3.0, 1000.0 / rate)

    log = await run(clock, row, nodes=nodes, rate=rate, burst=burst, seconds=seconds)

    assert worst_excess(log, rate, burst, 0.0) <= 1e-6
    assert len(log) >= 0.95 * rate * seconds


@pytest.mark.parametrize("rate", [0.5, 1.0, 10.0])
@pytest.mark.parametrize("nodes", [1, 4])
async def test_slow_rates_are_kept_send_by_send(clock: LoopClock, nodes: int, rate: float) -> None:
    row = Row(clock, latency=0.003)

    log = await run(clock, row, nodes=nodes, rate=rate, burst=1.0, seconds=60.0)

    assert worst_excess(log, rate, 1.0, 0.006) <= 1e-6  # no later than the line is slow
    assert len(log) >= 0.95 * rate * 60.0 - 1


async def test_slow_store_costs_tokens_and_mints_none(clock: LoopClock) -> None:
    row = Row(clock, latency=0.3)

    log = await run(clock, row, nodes=4, rate=50.0, burst=10.0, seconds=60.0)

    assert worst_excess(log, 50.0, 10.0, 0.0) <= 1e-6


@pytest.mark.parametrize("nodes", [1, 4])
@pytest.mark.parametrize(("rate", "burst", "latency"), [(200.0, 20.0, 0.08), (50.0, 10.0, 0.15)])
async def test_store_that_is_slower_than_a_block_is_held_does_not_stop_it_all(
    clock: LoopClock, rate: float, burst: float, latency: float, nodes: int
) -> None:
    row = Row(clock, latency=latency / 2)
    row.least_latency = latency / 2 * 0.9

    log = await run(clock, row, nodes=nodes, rate=rate, burst=burst, seconds=30.0)

    assert worst_excess(log, rate, burst, 0.0) <= 1e-6
    assert len(log) > 30.0  # some a second


async def test_nodes_with_lines_of_different_speed_keep_the_limit_together(
    clock: LoopClock,
) -> None:
    row = Row(clock, latency=0.002)
    far = Far(row, clock, 0.04)
    log: list[float] = []
    limiters = [
        Limiter(SharedBucket(rate=200.0, burst=20.0, row=one), clock, {}) for one in (row, far)
    ]
    tasks = [asyncio.create_task(send(one, clock, log)) for one in limiters for _ in range(8)]

    await clock.sleep(15.0)

    for task in tasks:
        task.cancel()
    assert worst_excess(log, 200.0, 20.0, 0.0) <= 1e-6
    assert len(log) >= 0.7 * 200.0 * 15.0


async def test_others_are_served_after_one_that_gave_up_while_tokens_came(
    clock: LoopClock,
) -> None:
    row = Row(clock, latency=0.04)
    row.least_latency = 0.02
    limiter = Limiter(SharedBucket(rate=50.0, burst=10.0, row=row), clock, {})
    await clock.sleep(1.0)
    hasty = asyncio.create_task(limiter.admit(1.0, 2))
    await clock.sleep(0.01)
    hasty.cancel()

    async with asyncio.timeout(10.0):
        await asyncio.gather(*(limiter.admit(1.0, 2) for _ in range(3)))

    assert hasty.cancelled()


async def test_tokens_lapse_when_they_are_not_used_in_time(clock: LoopClock) -> None:
    row = Row(clock, latency=0.0)
    bucket = SharedBucket(rate=50.0, burst=10.0, row=row)
    await clock.sleep(1.0)

    await bucket.refill(clock.monotonic, wanted=3)
    fresh = bucket.level(clock.monotonic())
    await clock.sleep(bucket.hold + 0.001)

    assert fresh == 3.0
    assert bucket.level(clock.monotonic()) == 0.0


async def test_message_of_many_parts_gets_through_and_is_paid_for(clock: LoopClock) -> None:
    row = Row(clock, latency=0.001)
    limiter = Limiter(SharedBucket(rate=10.0, burst=5.0, row=row), clock, {})
    start = clock.monotonic()

    await limiter.admit(20.0, 2)
    first = clock.monotonic() - start
    await limiter.admit(1.0, 2)
    second = clock.monotonic() - start

    assert first < 1.0
    assert second - first > 1.7


async def test_store_that_is_away_is_asked_now_and_then(clock: LoopClock) -> None:
    row = Row(clock, latency=0.001)
    row.away = True

    log = await run(clock, row, nodes=1, rate=50.0, burst=10.0, seconds=10.0)

    assert log == []
    assert 10 <= len(row.asked) <= 30


async def test_idle_node_asks_for_little(clock: LoopClock) -> None:
    row = Row(clock, latency=0.001)
    bucket = SharedBucket(rate=50.0, burst=10.0, row=row)
    for _ in range(5):
        await clock.sleep(1.0)
        await bucket.refill(clock.monotonic, wanted=0)
        bucket.was_used(int(bucket.level(clock.monotonic())), 0)

    assert [one.most for one in row.asked] == [1] * 5


async def test_busy_node_asks_for_more(clock: LoopClock) -> None:
    row = Row(clock, latency=0.0)
    bucket = SharedBucket(rate=50.0, burst=10.0, row=row)
    for _ in range(4):
        await clock.sleep(1.0)
        await bucket.refill(clock.monotonic, wanted=0)
        tokens = int(bucket.level(clock.monotonic()))
        bucket.take(tokens, clock.monotonic())
        bucket.was_used(tokens, tokens)

    assert [one.most for one in row.asked] == [1, 2, 4, 5]


async def test_throttled_node_takes_less_than_its_part(clock: LoopClock) -> None:
    row = Row(clock, latency=0.001)
    log: list[float] = []
    bucket = SharedBucket(rate=50.0, burst=10.0, row=row)
    bucket.set_factor(0.5, clock.monotonic())
    limiter = Limiter(bucket, clock, {})
    task = asyncio.create_task(send(limiter, clock, log))

    await clock.sleep(20.0)

    task.cancel()
    assert len(log) / 20.0 == pytest.approx(25.0, rel=0.1)


async def test_reserve_is_left_in_the_row(clock: LoopClock) -> None:
    row = Row(clock, latency=0.0)
    limiter = Limiter(SharedBucket(rate=50.0, burst=10.0, row=row), clock, {0: 0.4})
    await clock.sleep(1.0)

    await limiter.stock_up(priority=3)
    await limiter.stock_up(priority=0)

    assert [one.floor for one in row.asked] == [0.4 * row.asked[0].capacity, 0.0]


async def test_tokens_without_work_go_back_to_the_others(clock: LoopClock) -> None:
    row = Row(clock, latency=0.0)
    idle = Limiter(SharedBucket(rate=0.1, burst=1.0, row=row), clock, {})
    busy = Limiter(SharedBucket(rate=0.1, burst=1.0, row=row), clock, {})
    await clock.sleep(60.0)

    await idle.stock_up(2)
    await idle.note_use(1, 0)
    await clock.sleep(1.0)
    start = clock.monotonic()
    await busy.admit(1.0, 2)

    assert row.returned == 1
    assert clock.monotonic() - start < 0.1


async def test_tokens_that_go_back_are_not_minted(clock: LoopClock) -> None:
    """A busy node beside idle ones that take and return all the time."""
    row, log = Row(clock, latency=0.003), list[float]()
    idle = [Limiter(SharedBucket(rate=50.0, burst=10.0, row=row), clock, {}) for _ in range(3)]
    busy = Limiter(SharedBucket(rate=50.0, burst=10.0, row=row), clock, {})

    async def poll(limiter: Limiter) -> None:
        while True:
            await limiter.stock_up(2)
            await limiter.note_use(1, 0)
            await clock.sleep(0.05)

    tasks = [asyncio.create_task(poll(one)) for one in idle]
    tasks += [asyncio.create_task(send(busy, clock, log)) for _ in range(8)]
    await clock.sleep(30.0)
    for task in tasks:
        task.cancel()

    assert worst_excess(log, 50.0, 10.0, 0.0) <= 1e-6
    assert len(log) >= 0.95 * 50.0 * 30.0
