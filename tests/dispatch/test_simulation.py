"""Random lives of many messages, and what must hold when all is quiet again (reliability.md)."""

import asyncio
import json
import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from gateway.model import wire
from gateway.model.errors import StateConflict
from gateway.model.message import Mode, OnUnknown, read_reference
from gateway.model.state import (
    REPORTED,
    AttemptEvidence,
    Outcome,
    ReceiptEvidence,
    State,
    state_of,
    succeeded,
)
from gateway.model.submission import Device, StepRequest, To

OK = wire.Accepted()
EVENTS = list(wire.ReceiptEvent)
HOOK = {"url": "https://good.example.com", "secret": "whsec_" + "A" * 32}

#: A step that was claimed before the success of another was committed may start as late as this.
_SAME_INSTANT_MS = 1000


class Chaos:
    """Providers, recipients and tenants that do whatever they like, by one seed."""

    def __init__(self, world: Any, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.is_over = False
        self.posted = 0
        self.taken: Counter[str] = Counter()
        for name in world.senders:
            self.take_charge(world, name)

    def take_charge(self, world: Any, name: str) -> None:
        sender = world.senders[name]
        sender.latency = self.chance.choice([0.0, 0.05, 0.6])
        sender.answer = lambda message, time: self.answer(name, message)
        sender.meanwhile = lambda message: self.meanwhile(name, message)

    def answer(self, account: str, message: wire.Message) -> wire.AttemptResult:
        name = f"{account}:{message.reference}"
        results: list[tuple[int, wire.AttemptResult]] = [
            (8, wire.Accepted(provider_id=self.chance.choice([name, ""]))),
            (2, wire.Rejected(code="r")),
            (1, wire.Rejected(code="p", scope=wire.Scope.PROVIDER)),
            (2, wire.Deferred(code="t")),
            (1, wire.Deferred(code="c", cause=wire.Cause.CONNECT)),
            (1, wire.Deferred(code="full", cause=wire.Cause.RECIPIENT, retry_after=3.0)),
            (1, wire.Deferred(code="s", cause=wire.Cause.THROTTLED, retry_after=0.5)),
            (2, wire.Unknown(code="u")),
        ]
        (result,) = self.chance.choices(
            [one for _, one in results], [weight for weight, _ in results]
        )
        result = wire.Accepted(provider_id=name) if self.is_over else result
        if isinstance(result, wire.Accepted | wire.Unknown):
            self.taken[message.reference] += 1
        return result

    async def meanwhile(self, account: str, message: wire.Message) -> None:
        if self.chance.random() < 0.3:
            await self.report(account, message)

    async def report(self, account: str, message: wire.Message) -> None:
        if self.chance.random() < 0.5:
            names = {"reference": message.reference}
        else:
            names = {"provider_id": f"{account}:{message.reference}"}
        receipt = wire.DeliveryReceipt(event=self.chance.choice(EVENTS), **names)  # type: ignore[arg-type]
        await self.world.report(account, *[receipt] * self.chance.choice([1, 1, 2]))

    async def post(self) -> str:
        chance = self.chance
        chain = []
        for channel in chance.sample(["push", "sms", "email"], chance.randint(1, 3)):
            until = chance.choice([State.SENT, State.DELIVERED, State.READ])
            within = chance.choice([None, 2.0, 5.0]) if until is State.SENT else 5.0
            chain.append(StepRequest(channel=channel, until=until, within=within))
        self.posted += 1  # an address for each: a complaint bans it
        who = f"{self.posted:04d}"
        devices = tuple(Device(app=who, token=f"t{n}") for n in range(chance.randint(1, 3)))
        id_: str = await self.world.post(
            to=To(phone=f"+861380013{who}", email=f"{who}@example.com", push=devices),
            chain=tuple(chain),
            content={"text": "t", "subject": "s"},
            mode=chance.choice([Mode.CHAIN, Mode.CHAIN, Mode.ALL]),
            on_unknown=chance.choice([OnUnknown.RESEND, OnUnknown.FALLBACK, OnUnknown.STOP]),
            expires_in=chance.choice([4.0, 60.0, 600.0]),
        )
        return id_

    async def disturb(self, ids: list[str]) -> None:
        """One cancel, redrive or receipt."""
        what, id_ = self.chance.random(), self.chance.choice(ids)
        desk, caller = self.world.desk, self.world.caller()
        try:
            if what < 0.2:
                await desk.cancel(caller, id_)
            elif what < 0.4:
                await desk.redrive(caller, id_)
        except StateConflict:
            pass
        if what >= 0.4:
            account = self.chance.choice(list(self.world.senders))
            if calls := self.world.senders[account].calls:
                await self.report(account, self.chance.choice(calls).message)


async def evidence(world: Any) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """(attempts as (evidence, started, ended), receipts as (evidence, at)) by message.

    When an attempt started that was written off, nobody knows any more: 0.
    """
    attempts, receipts = defaultdict(list), defaultdict(list)
    for row in await world.sql(
        "SELECT message, redrive, step, part, number, provider, outcome, "
        "CASE code WHEN 'process_died' THEN 0 ELSE started_ms END, ended_ms, segments "
        "FROM attempt"
    ):
        redrive, step, part, number, provider, outcome = row[1:7]
        one = AttemptEvidence(redrive, step, part, number, provider, Outcome(outcome), row[9])
        attempts[row[0]].append((one, row[7], row[8]))
    for row in await world.sql(
        "SELECT message, redrive, step, part, number, provider, event, at_ms, segment FROM receipt"
    ):
        redrive, step, part, number, provider, event = row[1:7]
        about = None if number < 0 else number
        report = ReceiptEvidence(
            redrive, step, part, about, provider, wire.ReceiptEvent(event), row[8]
        )
        receipts[row[0]].append((report, row[7]))
    return attempts, receipts


def needless_starts(case: Any, attempts: list[Any], receipts: list[Any]) -> list[Any]:
    """Attempts of a chain that began well after another of its steps had succeeded for good."""
    if case.message.mode is Mode.ALL:
        return []

    def done(step: int, redrive: int, by_ms: int) -> bool:
        ours = [
            one
            for one, _, ended in attempts
            if (one.step, one.redrive) == (step, redrive) and ended < by_ms
        ]
        reports = [one for one, at in receipts if at < by_ms]
        return succeeded(ours, reports, until=case.message.chain[step].until)

    def maybe_undone(step: int, redrive: int, since_ms: int, by_ms: int) -> bool:
        """Whether a report of failure has come meanwhile, if only until a better one came."""
        return any(
            (one.step, one.redrive) == (step, redrive) and one.event in wire.FAILURES
            for one, at in receipts
            if since_ms <= at <= by_ms
        )

    return [
        one
        for one, started, _ in attempts
        for step in range(len(case.message.chain))
        if step != one.step
        and done(step, one.redrive, started - _SAME_INSTANT_MS)
        and done(step, one.redrive, started + 1)
        and not maybe_undone(step, one.redrive, started - _SAME_INSTANT_MS, started)
    ]


async def check(worlds: list[Any], chaos: Chaos, ids: list[str]) -> None:
    world = worlds[-1]
    calls = Counter(
        call.message.reference
        for each in worlds
        for sender in each.senders.values()
        for call in sender.calls
    )
    attempts, receipts = await evidence(world)
    cases = await world.store.cases(ids)
    reported = defaultdict(set)
    for (body,) in await world.sql("SELECT body FROM message WHERE internal = 1"):
        data = json.loads(json.loads(body)["content"]["text"])["data"]
        reported[data["id"]].add(data["state"])

    assert await world.rows() == []
    assert set(cases) == set(ids)
    for id_, case in cases.items():
        tried, told = attempts[id_], receipts[id_]
        state = state_of([one for one, *_ in tried], [one for one, _ in told], ending=case.ending)
        assert case.state is state
        assert case.state in REPORTED
        assert case.state in reported[id_]
        assert needless_starts(case, tried, told) == []
        if case.state is State.CANCELLED:
            assert tried == []
    stops = {id_ for id_, case in cases.items() if case.message.on_unknown is OnUnknown.STOP}
    written = Counter(
        (id_, one.redrive, one.step, one.part) for id_ in ids for one, *_ in attempts[id_]
    )
    lost = Counter(
        (id_, one.redrive, one.step, one.part)
        for id_ in ids
        for one, *_ in attempts[id_]
        if one.outcome is Outcome.UNKNOWN
    )
    for reference, count in calls.items():
        place = read_reference(reference)
        assert place is not None
        assert place[0] in cases
        assert written[place] >= count
        assert chaos.taken[reference] <= 1 + lost[place]
        if place[0] in stops:
            assert chaos.taken[reference] <= 1
    for each in worlds:
        assert {account.in_flight for account in each.accounts.values()} == {0}


@pytest.mark.parametrize("seed", range(5))
async def test_all_is_well_when_it_is_quiet(make_world: Any, seed: int) -> None:
    world = await make_world(tenants={"billing": {"webhook": HOOK}})
    chaos = Chaos(world, seed)
    world.start()

    ids: list[str] = []
    for _ in range(60):
        ids.append(await chaos.post())
        await asyncio.gather(*(chaos.disturb(ids) for _ in range(3)))
        await world.sleep(chaos.chance.choice([0.0, 0.05, 0.5]))
    chaos.is_over = True
    await world.settle(3600.0)

    await check([world], chaos, ids)


@pytest.mark.parametrize("seed", range(3))
async def test_all_is_well_after_crashes(make_world: Any, seed: int) -> None:
    tables = {"tenants": {"billing": {"webhook": HOOK}}}
    worlds = [await make_world(owner="n0", **tables)]
    chaos = Chaos(worlds[0], 100 + seed)
    worlds[0].start()

    ids: list[str] = []
    for life in range(1, 5):
        for _ in range(15):
            ids.append(await chaos.post())
            await chaos.disturb(ids)
            await worlds[-1].sleep(chaos.chance.choice([0.0, 0.1]))
        await worlds[-1].crash()
        heir = await make_world(owner=f"n{life}", **tables)
        for name in heir.senders:
            chaos.take_charge(heir, name)
        await heir.upkeep.adopt_orphans()
        heir.start()
        worlds.append(heir)
        chaos.world = heir
    chaos.is_over = True
    await worlds[-1].settle(3600.0)

    for world in worlds:  # what was in flight is gone with its process
        for account in world.accounts.values():
            account.in_flight = 0
    await check(worlds, chaos, ids)
