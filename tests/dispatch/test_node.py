"""One node among others: it proves that it lives, stops when it cannot, and shares its troubles."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from gateway.dispatch.lanes import Bells
from gateway.dispatch.node import Gossip, Hints, Pulse
from gateway.limits.account import Account, AccountLimits
from gateway.limits.breaker import BreakerState
from gateway.model.errors import StoreUnavailable
from gateway.model.submission import StepRequest
from gateway.model.tokens import Demand, Grant

EMAIL_ONLY = {"chain": (StepRequest(channel="email"),)}


class Fleet:
    """What a shared store keeps, for nodes in this process."""

    def __init__(self, clock: Any) -> None:
        self.away = False
        self.beats: list[float] = []
        self.pauses: dict[str, tuple[float, str]] = {}
        self.told = 0
        self.hints: list[list[str]] = []
        self.hearing: list[Callable[[str], None]] = []
        self._clock = clock

    async def beat(self) -> None:
        self._check()
        self.beats.append(self._clock.monotonic())

    async def hint(self, lanes: Collection[str]) -> None:
        self._check()
        self.hints.append(sorted(lanes))
        for heard in self.hearing:
            for lane in lanes:
                heard(lane)

    async def listen(self, heard: Callable[[str], None]) -> None:
        self._check()
        self.hearing.append(heard)
        await asyncio.Event().wait()

    async def take_tokens(self, account: str, demand: Demand) -> Grant:
        raise NotImplementedError

    async def give_tokens_back(self, account: str, tokens: int, *, capacity: float) -> None:
        raise NotImplementedError

    async def pause_account(self, account: str, *, seconds: float, reason: str) -> None:
        self._check()
        self.told += 1
        until = self._clock.monotonic() + seconds
        if until > self.pauses.get(account, (0.0, ""))[0]:
            self.pauses[account] = (until, reason)

    async def read_access_token(self, account: str) -> None:
        raise AssertionError

    async def put_access_token(self, account: str, sealed: str, *, life: float) -> None:
        raise AssertionError

    async def begin_refresh(self, account: str, *, seconds: float) -> bool:
        raise AssertionError

    async def end_refresh(self, account: str) -> None:
        raise AssertionError

    async def paused_accounts(self) -> Mapping[str, tuple[float, str]]:
        self._check()
        now = self._clock.monotonic()
        return {
            name: (until - now, why) for name, (until, why) in self.pauses.items() if until > now
        }

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


def account(clock: Any) -> Account:
    return Account(AccountLimits(), clock, lambda state: None)


async def test_pulse_is_proved_while_the_store_takes_it(world: Any) -> None:
    fleet = Fleet(world.clock)
    pulse = Pulse(fleet, world.clock)
    task = world.also(pulse.run())

    await world.sleep(20.0)
    alive = pulse.is_proved
    fleet.away = True
    await world.sleep(1.9)
    still = pulse.is_proved
    await world.sleep(2.2)
    lost = pulse.is_proved
    fleet.away = False
    await world.sleep(1.0)

    assert (alive, still, lost, pulse.is_proved) == (True, True, False, True)
    assert len(fleet.beats) >= 10
    assert not task.done()


async def test_node_that_cannot_prove_it_lives_sends_nothing(make_world: Any) -> None:
    alive = [True]
    world = await make_world(may_send=lambda: alive[0], providers={"m": {"rate": 2, "burst": 1}})
    world.start("m")
    await world.post_all([EMAIL_ONLY] * 40)
    await world.sleep(5.0)

    alive[0] = False
    before = len(world.senders["m"].calls)
    await world.sleep(10.0)
    meanwhile = len(world.senders["m"].calls)
    claimed = [row for row in await world.rows() if row[4] is not None]
    alive[0] = True
    await world.settle()

    assert 0 < before == meanwhile < 40
    assert claimed == []
    assert len(world.senders["m"].calls) == 40
    assert await world.sql("SELECT count(*) FROM attempt WHERE outcome <> 'accepted'") == [(0,)]


async def test_pause_of_one_node_is_heeded_by_the_others(world: Any) -> None:
    fleet, mine, other = Fleet(world.clock), account(world.clock), account(world.clock)
    for one in (mine, other):
        world.also(Gossip(fleet, {"acme": one}, world.clock).run())

    mine.throttle(30.0)
    await world.sleep(1.1)

    assert other.paused_for() == pytest.approx(28.9, abs=0.1)
    await world.sleep(30.0)
    assert (mine.paused_for(), other.paused_for()) == (0.0, 0.0)
    assert fleet.told == 1


async def test_breaker_that_opened_here_pauses_the_account_elsewhere(world: Any) -> None:
    fleet, mine, other = Fleet(world.clock), account(world.clock), account(world.clock)
    for one in (mine, other):
        world.also(Gossip(fleet, {"acme": one}, world.clock).run())

    for _ in range(5):
        mine.fail(connect=True)
    await world.sleep(1.1)

    assert mine.breaker.state is BreakerState.OPEN
    assert other.breaker.state is BreakerState.CLOSED
    assert 3.0 < other.paused_for() <= 5.0


async def test_gossip_goes_on_after_the_store_was_away(world: Any) -> None:
    fleet, mine = Fleet(world.clock), account(world.clock)
    fleet.away = True
    world.also(Gossip(fleet, {"acme": mine}, world.clock).run())
    mine.pause(60.0)
    await world.sleep(5.0)

    fleet.away = False
    await world.sleep(1.0)

    assert set(fleet.pauses) == {"acme"}


async def test_lane_that_rings_here_rings_at_the_others(world: Any) -> None:
    fleet, here, there = Fleet(world.clock), Bells(), Bells()
    for bells in (here, there):
        hints = Hints(fleet, bells, world.clock)
        world.also(hints.hear())
        world.also(hints.tell())
    sms, email = there.listen(["sms"]), there.listen(["email"])
    await world.sleep(0.5)

    for _ in range(100):
        here.ring("sms")
    await world.sleep(1.0)

    assert (sms.is_set(), email.is_set()) == (True, False)
    assert fleet.hints == [["sms"]]  # merged, and what was heard is not told again


async def test_hints_are_heard_again_after_the_store_was_away(world: Any) -> None:
    fleet, here = Fleet(world.clock), Bells()
    fleet.away = True
    hints = Hints(fleet, here, world.clock)
    world.also(hints.hear())
    world.also(hints.tell())
    here.ring("sms")
    await world.sleep(5.0)

    fleet.away = False
    await world.sleep(2.0)
    here.ring("sms")
    await world.sleep(1.0)

    assert fleet.hints == [["sms"]]
    assert len(fleet.hearing) == 1
