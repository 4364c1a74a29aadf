"""Concurrent callers share a flush, and nothing else."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.model.errors import StoreUnavailable
from gateway.store.batcher import Batcher


class Flush:
    """Doubles numbers when it is let through, and fails on those it is told to."""

    def __init__(self, *, bad: int | None = None, error: Exception | None = None) -> None:
        self.groups: list[list[int]] = []
        self.gate = asyncio.Event()
        self._bad = bad
        self._error = error

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.groups.append(list(items))
        await self.gate.wait()
        if self._error is not None and self._bad in items:
            raise self._error
        return [item * 2 for item in items]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_comes_during_a_flush_goes_into_the_next() -> None:
    flush = Flush()
    batcher = Batcher(flush, largest=100)

    async with asyncio.TaskGroup() as group:
        first = group.create_task(batcher.submit([1]))
        await settle()
        rest = [group.create_task(batcher.submit([number, -number])) for number in (2, 3, 4)]
        await settle()
        flush.gate.set()

    assert flush.groups == [[1], [2, -2, 3, -3, 4, -4]]
    assert first.result() == [2]
    assert [task.result() for task in rest] == [[4, -4], [6, -6], [8, -8]]


async def test_several_flushes_are_on_their_way_at_once() -> None:
    flush = Flush()
    batcher = Batcher(flush, largest=100, flushes=2)

    async with asyncio.TaskGroup() as group:
        for number in (1, 2, 3, 4):
            group.create_task(batcher.submit([number]))
            await settle()
        flush.gate.set()

    assert flush.groups == [[1], [2], [3, 4]]


async def test_batcher_flushes_whatever_the_rhythm_of_its_callers() -> None:
    flush = Flush()
    flush.gate.set()
    batcher = Batcher(flush, largest=3, flushes=2)

    async def call(number: int) -> None:
        for turn in range(20):
            assert await batcher.submit([number + turn]) == [2 * (number + turn)]
            for _ in range(number % 4):
                await asyncio.sleep(0)

    async with asyncio.timeout(10.0):
        await asyncio.gather(*(call(number) for number in range(7)))


async def test_groups_are_bounded_and_no_caller_is_split() -> None:
    flush = Flush()
    flush.gate.set()
    batcher = Batcher(flush, largest=5)

    await asyncio.gather(*(batcher.submit([number] * 2) for number in range(5)))
    await batcher.submit(list(range(9)))

    assert [len(group) for group in flush.groups] == [4, 4, 2, 9]


async def test_only_the_culprit_fails() -> None:
    flush = Flush(bad=3, error=ValueError("three"))
    flush.gate.set()
    batcher = Batcher(flush, largest=100)

    results = await asyncio.gather(
        *(batcher.submit([number]) for number in range(5)), return_exceptions=True
    )

    assert [isinstance(one, ValueError) for one in results] == [False, False, False, True, False]
    assert [one for one in results if isinstance(one, list)] == [[0], [2], [4], [8]]


async def test_store_that_is_away_is_not_asked_by_everyone_in_turn() -> None:
    flush = Flush(bad=3, error=StoreUnavailable("down"))
    flush.gate.set()
    batcher = Batcher(flush, largest=100)

    results = await asyncio.gather(
        *(batcher.submit([number]) for number in range(5)), return_exceptions=True
    )

    assert all(isinstance(one, StoreUnavailable) for one in results)
    assert len(flush.groups) == 1


async def test_caller_that_leaves_does_not_disturb_the_others() -> None:
    flush = Flush()
    batcher = Batcher(flush, largest=100)
    leaving = asyncio.create_task(batcher.submit([1]))
    await settle()
    staying = asyncio.create_task(batcher.submit([2]))
    await settle()

    leaving.cancel()
    flush.gate.set()

    assert await staying == [4]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_batcher_goes_on_after_a_failure() -> None:
    flush = Flush(bad=1, error=ValueError("one"))
    flush.gate.set()
    batcher = Batcher(flush, largest=100)
    with pytest.raises(ValueError, match="one"):
        await batcher.submit([1])

    assert await batcher.submit([2]) == [4]
