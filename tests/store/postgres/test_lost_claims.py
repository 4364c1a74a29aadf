"""Claims whose answer was lost, without a database: what is given back, and when."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from gateway.model.errors import StoreUnavailable
from gateway.store.postgres import claim as module
from gateway.store.postgres.claim import Claims
from gateway.store.postgres.engine import Engine


class Session:
    """Notes which tickets are given back; nothing is ever ready."""

    def __init__(self) -> None:
        self.undone: list[list[int]] = []
        self.begun = asyncio.Event()

    async def rows(self, query: str, **values: Any) -> list[Any]:
        return []

    async def run(self, query: str, *, owner: str, tickets: list[int]) -> None:
        self.begun.set()
        for _ in range(5):
            await asyncio.sleep(0)
        self.undone.append(tickets)


class LineThatBreaks:
    """An engine whose connection is lost when `is_down`."""

    def __init__(self) -> None:
        self.session = Session()
        self.is_down = False

    async def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        await asyncio.sleep(0)
        if self.is_down:
            raise StoreUnavailable("the connection was lost")
        return await work(self.session)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> LineThatBreaks:
    monkeypatch.setattr(module, "_LINGER", -1.0)  # nothing turns up later
    return LineThatBreaks()


@pytest.fixture
def claims(line: LineThatBreaks) -> Claims:
    return Claims(cast(Engine, line), "n1")


async def lose(line: LineThatBreaks, claims: Claims) -> None:
    line.is_down = True
    with pytest.raises(StoreUnavailable):
        await claims.claim("heads")
    line.is_down = False


async def test_lost_claim_is_given_back_before_the_next(
    line: LineThatBreaks, claims: Claims
) -> None:
    await lose(line, claims)

    await claims.claim("heads")
    await claims.claim("heads")

    assert line.session.undone == [[1]]


async def test_several_may_settle_at_once(line: LineThatBreaks, claims: Claims) -> None:
    await lose(line, claims)

    await asyncio.gather(claims.settle(), claims.settle(), claims.claim("heads"))

    assert [1] in line.session.undone


async def test_claim_that_is_lost_while_others_settle_is_given_back_too(
    line: LineThatBreaks, claims: Claims
) -> None:
    await lose(line, claims)

    settling = asyncio.create_task(claims.settle())
    await line.session.begun.wait()
    await lose(line, claims)
    await settling
    await claims.claim("heads")

    assert [2] in line.session.undone


async def test_what_could_not_be_given_back_is_tried_again(
    line: LineThatBreaks, claims: Claims
) -> None:
    await lose(line, claims)
    line.is_down = True
    with pytest.raises(StoreUnavailable):
        await claims.settle()
    line.is_down = False

    await claims.claim("heads")

    assert line.session.undone == [[1]]
