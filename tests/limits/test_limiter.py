"""Waiting for tokens, on virtual time."""

import asyncio
from collections.abc import Mapping

import pytest

from gateway.clock import LoopClock
from gateway.limits.bucket import TokenBucket
from gateway.limits.limiter import Limiter

CRITICAL, BULK = 0, 3


def limiter_of(
    clock: LoopClock, *, rate: float, burst: float, reserve: Mapping[int, float] | None = None
) -> Limiter:
    bucket = TokenBucket(rate=rate, burst=burst, now=clock.monotonic())
    return Limiter(bucket, clock, reserve or {})


async def admitted(
    limiter: Limiter, clock: LoopClock, priority: int, log: list[tuple[int, float]]
) -> None:
    await limiter.admit(1.0, priority)
    log.append((priority, clock.monotonic()))


async def test_more_urgent_ones_go_first(clock: LoopClock) -> None:
    limiter = limiter_of(clock, rate=10.0, burst=1.0)
    log: list[tuple[int, float]] = []

    await asyncio.gather(
        *(admitted(limiter, clock, priority, log) for priority in (3, 2, 0, 1, 0, 3))
    )

    assert [priority for priority, _ in log] == [0, 0, 1, 2, 3, 3]


async def test_equals_go_in_the_order_of_asking(clock: LoopClock) -> None:
    limiter = limiter_of(clock, rate=10.0, burst=1.0)
    order: list[int] = []

    async def ask(number: int) -> None:
        await limiter.admit(1.0, BULK)
        order.append(number)

    await asyncio.gather(*map(ask, range(8)))

    assert order == list(range(8))


@pytest.mark.parametrize("rate", [0.5, 7.0, 300.0, 2000.0])
async def test_rate_is_used_up(clock: LoopClock, rate: float) -> None:
    limiter = limiter_of(clock, rate=rate, burst=max(1.0, rate / 5))
    count = max(20, int(rate))
    log: list[tuple[int, float]] = []
    start = clock.monotonic()

    await asyncio.gather(*(admitted(limiter, clock, BULK, log) for _ in range(count)))

    assert count / (log[-1][1] - start) >= 0.97 * rate


async def test_no_window_gets_more_than_burst_and_rate(clock: LoopClock) -> None:
    rate, burst = 50.0, 10.0
    limiter = limiter_of(clock, rate=rate, burst=burst)
    log: list[tuple[int, float]] = []

    for pause in (0.0, 0.01, 0.5, 0.0, 3.0, 0.2):
        await clock.sleep(pause)
        await asyncio.gather(*(admitted(limiter, clock, BULK, log) for _ in range(25)))

    times = [at for _, at in log]
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + rate * (times[last] - times[first]) + 1e-6


async def test_reserve_is_kept_for_the_urgent(clock: LoopClock) -> None:
    limiter = limiter_of(clock, rate=10.0, burst=10.0, reserve={CRITICAL: 0.5})
    await clock.sleep(1.0)
    start, log = clock.monotonic(), list[tuple[int, float]]()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(admitted(limiter, clock, BULK, log))
        await clock.sleep(0.001)
        for _ in range(5):
            group.create_task(admitted(limiter, clock, CRITICAL, log))
        await clock.sleep(0.001)
        at_once = [priority for priority, at in log if at < start + 0.002]

    assert at_once.count(BULK) == 5
    assert at_once.count(CRITICAL) == 5


async def test_urgent_one_need_not_wait_as_long_as_those_before_it(clock: LoopClock) -> None:
    limiter = limiter_of(clock, rate=10.0, burst=10.0, reserve={CRITICAL: 0.9})
    log: list[tuple[int, float]] = []
    start = clock.monotonic()

    async with asyncio.TaskGroup() as group:
        group.create_task(admitted(limiter, clock, BULK, log))
        await clock.sleep(0.05)
        group.create_task(admitted(limiter, clock, CRITICAL, log))

    (first, at), (_, later) = log
    assert first == CRITICAL
    assert at == pytest.approx(start + 0.1)
    assert later > start + 1.0


async def test_waiter_that_goes_away_takes_no_token(clock: LoopClock) -> None:
    limiter = limiter_of(clock, rate=1.0, burst=1.0)
    log: list[tuple[int, float]] = []
    start = clock.monotonic()

    gone = [asyncio.create_task(limiter.admit(1.0, CRITICAL)) for _ in range(5)]
    stays = asyncio.create_task(admitted(limiter, clock, BULK, log))
    await clock.sleep(0.5)
    for task in gone:
        task.cancel()
    await stays

    assert [at for _, at in log] == pytest.approx([start + 1.0])


async def test_close_ends_the_waiting(clock: LoopClock) -> None:
    limiter = limiter_of(clock, rate=0.01, burst=1.0)
    waiting = asyncio.create_task(limiter.admit(1.0, BULK))
    await clock.sleep(0.1)

    limiter.close()
    limiter.close()
    await clock.sleep(1000.0)

    assert not waiting.done()
    waiting.cancel()
