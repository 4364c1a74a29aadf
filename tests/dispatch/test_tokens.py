"""Access tokens: renewed ahead of their end, by one node at a time."""

import asyncio
from typing import Any

import pytest

from gateway.clock import LoopClock
from gateway.dispatch.tokens import Shelved, TokenKeeper
from gateway.model import wire
from gateway.model.errors import NotSent, StoreUnavailable


class Service:
    """Gives out tokens of a thousand seconds, numbered; each new one ends the former."""

    def __init__(self, clock: LoopClock) -> None:
        self.given = 0
        self.latency = 1.0
        self.trouble: Exception | wire.Deferred | None = None
        self._clock = clock

    def token_request(self) -> wire.HttpRequest:
        return wire.HttpRequest(method="POST", url="https://x")

    def read_token(self, response: wire.HttpResponse) -> wire.Token | wire.Deferred:
        if isinstance(self.trouble, wire.Deferred):
            return self.trouble
        self.given += 1
        return wire.Token(value=f"t{self.given}", expires_in=1000.0)

    def authorise(self, request: wire.HttpRequest, token: str) -> wire.HttpRequest:
        return request

    async def send(self, request: wire.HttpRequest, **options: Any) -> wire.HttpResponse:
        await self._clock.sleep(self.latency)
        if isinstance(self.trouble, Exception):
            raise self.trouble
        return wire.HttpResponse(status=200)


class Board:
    """What the nodes share."""

    def __init__(self) -> None:
        self.token: tuple[str, float] | None = None
        self.lease: tuple[str, float] | None = None
        self.is_down = False


class MemoryShelf:
    def __init__(self, board: Board, node: str, clock: LoopClock) -> None:
        self._board, self._node, self._clock = board, node, clock

    async def look(self) -> Shelved | None:
        if self._board.is_down:
            raise StoreUnavailable
        if self._board.token is None:
            return None
        token, until = self._board.token
        return Shelved(token=token, left=until - self._clock.monotonic(), life=1000.0)

    async def begin(self, seconds: float) -> bool:
        now, lease = self._clock.monotonic(), self._board.lease
        if lease is not None and lease[1] > now:
            return False
        self._board.lease = (self._node, now + seconds)
        return True

    async def put(self, token: wire.Token) -> None:
        self._board.token = (token.value, self._clock.monotonic() + token.expires_in)

    async def end(self) -> None:
        if self._board.lease is not None and self._board.lease[0] == self._node:
            self._board.lease = None


@pytest.fixture
def service(clock: LoopClock) -> Service:
    return Service(clock)


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def keepers(service: Any, board: Board, clock: LoopClock) -> list[TokenKeeper]:
    return [
        TokenKeeper(
            service, service, clock, timeout=5.0, shelf=MemoryShelf(board, f"n{one}", clock)
        )
        for one in range(5)
    ]


def alone(service: Any, clock: LoopClock) -> TokenKeeper:
    return TokenKeeper(service, service, clock, timeout=5.0)


async def test_nobody_waits_for_a_new_token_while_the_old_one_is_good(
    service: Service, clock: LoopClock
) -> None:
    keeper = alone(service, clock)
    await keeper.get()
    await clock.sleep(780.0)

    began = clock.monotonic()
    meanwhile = await keeper.get()
    waited = clock.monotonic() - began
    await clock.sleep(2.0)

    assert (meanwhile, waited) == ("t1", 0.0)
    assert (await keeper.get(), service.given) == ("t2", 2)


@pytest.mark.parametrize(
    "trouble", [NotSent("refused"), wire.Deferred(code="http_503")], ids=["connect", "answer"]
)
async def test_trouble_with_renewing_is_nobodys_while_the_old_token_is_good(
    service: Service, clock: LoopClock, trouble: Any
) -> None:
    keeper = alone(service, clock)
    await keeper.get()
    service.trouble = trouble
    await clock.sleep(780.0)

    for _ in range(40):  # until it has ended
        assert await keeper.get() == "t1"
        await clock.sleep(4.9)
    await clock.sleep(30.0)

    assert isinstance(await keeper.get(), wire.Deferred)


async def test_renewing_that_fails_is_tried_again_soon_and_not_at_once(
    service: Service, clock: LoopClock
) -> None:
    keeper = alone(service, clock)
    await keeper.get()
    service.trouble = NotSent("refused")
    await clock.sleep(780.0)
    for _ in range(3):
        await keeper.get()
        await clock.sleep(1.1)
    service.trouble = None
    await clock.sleep(5.0)

    await keeper.get()
    await clock.sleep(1.1)

    assert await keeper.get() == "t2"


async def test_nodes_fetch_one_token_for_all(service: Service, keepers: list[TokenKeeper]) -> None:
    found = await asyncio.gather(*(one.get() for one in keepers * 3))

    assert set(found) == {"t1"}
    assert service.given == 1


async def test_nodes_renew_once_and_all_take_it_over(
    service: Service, keepers: list[TokenKeeper], clock: LoopClock
) -> None:
    await asyncio.gather(*(one.get() for one in keepers))
    await clock.sleep(780.0)

    await asyncio.gather(*(one.get() for one in keepers))
    await clock.sleep(3.0)

    assert {await one.get() for one in keepers} == {"t2"}
    assert service.given == 2


async def test_node_that_starts_later_takes_over_what_there_is(
    service: Service, keepers: list[TokenKeeper], clock: LoopClock
) -> None:
    await keepers[0].get()
    await clock.sleep(500.0)

    assert await keepers[1].get() == "t1"
    assert service.given == 1


async def test_refused_token_of_all_is_replaced_by_one_node(
    service: Service, keepers: list[TokenKeeper]
) -> None:
    await asyncio.gather(*(one.get() for one in keepers))

    for one in keepers:
        one.forget("t1")
    found = await asyncio.gather(*(one.get() for one in keepers))

    assert set(found) == {"t2"}
    assert service.given == 2


async def test_node_that_dies_while_it_renews_is_replaced(
    service: Service, keepers: list[TokenKeeper], board: Board, clock: LoopClock
) -> None:
    board.lease = ("dead", clock.monotonic() + 10.0)

    found = await keepers[0].get()

    assert found == "t1"
    assert clock.monotonic() >= 10.0


async def test_without_the_store_there_is_no_token_and_nobody_elses_is_ended(
    service: Service, keepers: list[TokenKeeper], board: Board
) -> None:
    board.is_down = True

    found = await keepers[0].get()

    assert found == wire.Deferred(code="store_unavailable")
    assert service.given == 0


async def test_failed_renewal_leaves_the_lease_to_others(
    service: Service, keepers: list[TokenKeeper], board: Board
) -> None:
    service.trouble = wire.Deferred(code="invalid_client", cause=wire.Cause.CREDENTIAL)

    found = await keepers[0].get()

    assert found == service.trouble
    assert board.lease is None
