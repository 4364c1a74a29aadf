"""What is decided at once about a first success is what would have been worked out."""

from typing import Any

import msgspec
import pytest

from gateway.model import wire
from gateway.model.state import State
from gateway.model.submission import Device, StepRequest, To
from gateway.model.values import replace
from gateway.store.base import ClaimRequest

TAKEN = wire.Accepted(provider_id="x1")
PUSH = To(push=(Device(app="shop", token="t" * 20), Device(app="shop", token="u" * 20)))


def sms(**fields: Any) -> dict[str, Any]:
    return {"chain": (StepRequest(channel="sms", **fields),)}


async def claimed(world: Any, lane: str = "sms", provider: str = "a") -> Any:
    request = ClaimRequest(lane=lane, provider=provider, limit=1, startable=1)
    (row,) = await world.store.claim(request)
    return row


def decided(world: Any, entry: Any) -> Any:
    _, transition = world.finisher._decide(entry, world.clock.now_ms())
    return msgspec.json.decode(msgspec.json.encode(transition))


def without_ids(transition: Any) -> Any:
    """Webhooks get new ids each time that they are made; what is empty is left out."""
    bodies = [one["body"] for one in transition.get("webhooks", ())]
    return {key: value for key, value in transition.items() if value} | {"webhooks": bodies}


@pytest.mark.parametrize(
    "fields",
    [
        sms(),
        sms(until=State.DELIVERED),
        sms(until=State.READ, within=60.0),
        sms() | {"metadata": {"order": "7"}},
        sms() | {"mode": "all"},
        sms() | {"dedupe": None, "category": "marketing"},
    ],
)
@pytest.mark.parametrize("result", [TAKEN, wire.Accepted()])
@pytest.mark.parametrize("has_endpoint", [False, True])
async def test_first_success_is_what_the_whole_case_comes_to(
    world: Any, fields: dict[str, Any], result: wire.AttemptResult, has_endpoint: bool
) -> None:
    if has_endpoint:
        await world.endpoints.put(
            world.caller(), url="https://good.example", events=(), secret=None, endpoint=None
        )
    await world.post(**fields)
    row = await claimed(world)
    attempter = world.workers["a"]._slots._attempter

    entry = attempter._consequences.entry(attempter.ended(row, result))
    plain, whole = decided(world, entry), decided(world, entry._replace(first=None))

    assert entry.first is not None
    assert plain["attempts"]
    assert without_ids(plain) == without_ids(whole)
    assert len(plain.get("webhooks", ())) == has_endpoint
    assert plain["state"] == "sent"


async def test_account_that_is_preferred_says_why_at_no_more_cost(world: Any) -> None:
    await world.post(**sms())
    row = await claimed(world)
    attempter = world.workers["a"]._slots._attempter
    attempter._consequences._preferred_for = lambda lane: "costs 0.01, b 0.02"

    entry = attempter._consequences.entry(attempter.ended(row, TAKEN))
    plain, whole = decided(world, entry), decided(world, entry._replace(first=None))

    assert without_ids(plain) == without_ids(whole)
    (event,) = plain["events"]
    assert (event["event"], event["provider"]) == ("preferred", "a")
    assert event["detail"] == "costs 0.01, b 0.02"


async def test_why_is_told_at_the_first_try_however_often_the_row_was_claimed(world: Any) -> None:
    await world.post(**sms())
    await world.store.give_back([await claimed(world)])
    row = await claimed(world)
    attempter = world.workers["a"]._slots._attempter
    attempter._consequences._preferred_for = lambda lane: "costs 0.01, b 0.02"
    busy = attempter._consequences.entry(attempter.ended(row, wire.Deferred(code="busy")))
    taken = attempter._consequences.entry(attempter.ended(row, TAKEN))

    first = [decided(world, one)["events"][0]["event"] for one in (busy, taken)]
    plain, whole = decided(world, taken), decided(world, taken._replace(first=None))
    await attempter.finish_alone(attempter.ended(row, wire.Deferred(code="busy")))
    case = await world.case(row.case.id)
    again = attempter._consequences.entry(attempter.ended(replace(row, case=case), TAKEN))

    assert row.epoch == 2
    assert first == ["preferred", "preferred"]
    assert without_ids(plain) == without_ids(whole)
    assert not decided(world, again).get("events")


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        (sms(), wire.Rejected(code="bad")),
        (sms(), wire.Deferred(code="busy")),
        (sms(), wire.Unknown(code="timeout")),
        ({}, TAKEN),  # with a fallback
    ],
)
async def test_anything_else_is_worked_out(
    world: Any, fields: dict[str, Any], result: wire.AttemptResult
) -> None:
    await world.post(**fields)
    row = await claimed(world)
    attempter = world.workers["a"]._slots._attempter

    assert attempter._consequences.entry(attempter.ended(row, result)).first is None


async def test_second_try_and_second_device_are_worked_out(world: Any) -> None:
    world.senders["p"].script(wire.Deferred(code="busy"), TAKEN)
    attempter = world.workers["p"]._slots._attempter
    await world.post(to=PUSH, chain=(StepRequest(channel="push"),))

    first = await claimed(world, "push", "p")

    assert attempter._consequences.entry(attempter.ended(first, TAKEN)).first is None
    await attempter.finish_alone(attempter.ended(first, TAKEN))
    second = await claimed(world, "push", "p")
    assert attempter._consequences.entry(attempter.ended(second, TAKEN)).first is None
