"""What waits for the same cap leaves as one message: what it says, what becomes of those that it
carries, and that nothing is lost or said twice."""

import asyncio
from typing import Any

import pytest

from gateway.dispatch.gate import Hold
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.errors import StoreUnavailable
from gateway.model.submission import Dedupe, StepRequest, Submission, To
from tests.dispatch.conftest import MakeWorld

MINUTE = 60.0
#: What every such text to a number of China ends with, once.
REFUSAL = " 拒收请回复R"
SMS, EMAIL = (StepRequest(channel=name) for name in ("sms", "email"))
LI = To(phone="+8613800138000", email="li@example.com", recipient="li")
WANG = To(phone="+8613800138001", recipient="wang")
TEXT = "{{ count }} offers:{% for item in items %} {{ item.text }};{% endfor %}"
TEMPLATES = {"round-up": {"sms": {"text": TEXT}, "email": {"subject": "News", "text": TEXT}}}


def merging(**fields: Any) -> dict[str, Any]:
    """A cap of one a minute."""
    usual = {"most": 1, "within": "1m", "categories": ["marketing"]}
    cap = {**usual, "over": "merge", "digest": "round-up", **fields}
    return {"caps": {"offers": cap}, "templates": TEMPLATES}


async def post(world: Any, text: str, **fields: Any) -> str:
    usual = {"to": LI, "category": "marketing", "expires_in": 600.0, "content": {"text": text}}
    id_ = str(await world.post(**{**usual, **fields}))
    await world.sleep(0.01)  # ids of one millisecond have no order
    return id_


async def waiting(world: Any, *texts: str, **fields: Any) -> list[str]:
    """One that has been sent, and these that wait for the next place."""
    await post(world, "first", **fields)
    await world.sleep(1.0)
    ids = [await post(world, text, **fields) for text in texts]
    await world.sleep(3.0)
    return ids


def said(world: Any, *accounts: str) -> list[str]:
    calls = [call for name in accounts or "ab" for call in world.senders[name].calls]
    texts = [call.message.content.text for call in sorted(calls, key=lambda call: call.at)]
    return [one.removesuffix(REFUSAL) for one in texts]


async def events(world: Any, message: str) -> list[tuple[str, str]]:
    found = await world.desk.read(world.caller(), message)
    return [(one.event, one.detail) for one in found.timeline][1:]


async def uses(world: Any) -> list[tuple[str, bool]]:
    found = await world.sql("SELECT message, taken FROM cap_use ORDER BY at_ms, message")
    return [(message, bool(taken)) for message, taken in found]


async def digests(world: Any) -> list[str]:
    return [
        id_
        for (id_,) in await world.sql("SELECT DISTINCT message FROM event WHERE event = 'merged'")
    ]


async def test_what_waits_for_the_same_place_leaves_as_one(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()

    ids = await waiting(world, "shoes", "hats", "socks")
    await world.settle()

    assert said(world) == ["first", "3 offers: shoes; hats; socks;"]
    first, second = sorted(one.at for one in world.senders["a"].calls)
    assert MINUTE - 0.1 < second - first < MINUTE + 3.0
    (digest,) = await digests(world)
    assert [await world.state(one) for one in [digest, *ids]] == ["sent", *["cancelled"] * 3]
    assert (digest, True) in await uses(world)
    assert not {one for one, _ in await uses(world)} & {*ids}


async def test_timelines_name_each_other(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()

    ids = await waiting(world, "shoes", "hats")
    await world.settle()

    (digest,) = await digests(world)
    for one in ids:
        assert await events(world, one) == [
            ("deferred", "cap:offers"),
            ("cancelled", f"merged into {digest}"),
        ]
    assert (await events(world, digest))[:2] == [("merged", one) for one in ids]
    view = await world.desk.read(world.caller(), digest)
    assert view.metadata == {"merged": ids}
    assert view.category == "marketing"


async def test_webhook_of_a_merged_message_tells_of_its_digest(make_world: MakeWorld) -> None:
    world = await make_world(
        **merging(),
        tenants={
            "billing": {
                "webhook": {"url": "https://good.example.com", "secret": "whsec_" + "c2VjcmV0" * 4}
            }
        },
    )
    world.start()

    ids = await waiting(world, "shoes", "hats")
    await world.settle()

    (digest,) = await digests(world)
    bodies = [call.message.content.text for call in world.receiver.calls]
    told = [one for one in bodies if "message.cancelled" in one]
    assert len(told) == 2
    assert all(f"merged into {digest}" in one for one in told)
    assert {one for one in ids if any(one in body for body in told)} == {*ids}


async def test_metrics_tell_merged_from_failed(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()

    await waiting(world, "shoes", "hats")
    await world.settle()

    def decided(name: str) -> float:
        return float(world.metrics.cap_decisions.labels("offers", name)._value.get())

    assert (decided("passed"), decided("deferred"), decided("merged")) == (2.0, 2.0, 2.0)
    ended = world.metrics.ended.labels
    assert ended("marketing", "cancelled")._value.get() == 2.0
    assert ended("marketing", "failed")._value.get() == 0.0
    assert world.metrics.accepted.labels("marketing")._value.get() == 4.0


async def test_one_that_waits_alone_leaves_as_itself(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()

    (id_,) = await waiting(world, "shoes")
    await world.settle()

    assert said(world) == ["first", "shoes"]
    assert await world.state(id_) == "sent"
    assert await digests(world) == []


async def test_only_what_is_alike_is_merged(make_world: MakeWorld) -> None:
    world = await make_world(
        **merging(categories=["marketing", "service"], most=2),
        categories={"service": {"chain": [{"channel": "sms"}]}},
    )
    world.start()
    for to in (LI, WANG):
        for _ in range(2):
            await post(world, "first", to=to)
    for tenant in ("billing", "shop"):
        await post(world, "first", tenant=tenant)
    await world.sleep(1.0)

    await post(world, "li's shoes")
    await post(world, "li's hats")
    await post(world, "wang's", to=WANG)
    await post(world, "a notice", category="service")
    await post(world, "the shop's", tenant="shop")
    await post(world, "another number", to=To(phone="+8613800138009", recipient="li"))
    await world.settle()

    assert sorted(one for one in said(world) if one != "first") == [
        "3 offers: first; li's shoes; li's hats;",
        "a notice",
        "another number",
        "the shop's",
        "wang's",
    ]


async def test_more_than_fifty_take_another_turn(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()
    await post(world, "first")
    await world.sleep(1.0)

    ids = await world.post_all(
        [
            {"to": LI, "category": "marketing", "expires_in": 600.0, "content": {"text": f"{n}."}}
            for n in range(70)
        ]
    )
    await world.settle()

    first, second, third = said(world)
    assert (first, second[:10], third[:10]) == ("first", "50 offers:", "20 offers:")
    assert [f" {n}." in second for n in range(70)] == [True] * 50 + [False] * 20
    times = [call.at for call in sorted(world.senders["a"].calls, key=lambda call: call.at)]
    assert times[2] - times[1] > MINUTE - 0.1
    assert {await world.state(one) for one in ids} == {"cancelled"}


async def test_what_is_too_large_for_one_takes_another_turn(make_world: MakeWorld) -> None:
    tables = merging()
    tables["templates"] = {"round-up": {"sms": {"text": "{{ count }} offers"}}}
    tables["categories"] = {"marketing": {"chain": [{"channel": "sms"}]}}
    world = await make_world(**tables)
    world.start()

    await waiting(world, *["x" * 60_000] * 6)
    await world.settle()

    assert said(world) == ["first", "4 offers", "2 offers"]


async def test_digest_that_no_account_can_carry_is_made_of_fewer(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    for name in "ab":
        world.senders[name].provider.object = lambda content, to: (
            "too long" if len(content.text) > 35 else ""
        )
    world.start()

    await waiting(world, "shoes", "hats", "socks", "gloves")
    await world.settle()

    assert said(world) == ["first", "2 offers: shoes; hats;", "2 offers: socks; gloves;"]


async def test_what_cannot_be_merged_leaves_by_itself(make_world: MakeWorld) -> None:
    tables = merging()
    tables["templates"] = {"round-up": {"sms": {"text": "{{ items[0].data.code + 1 }}"}}}
    tables["categories"] = {"marketing": {"chain": [{"channel": "sms"}]}}
    world = await make_world(**tables)
    world.start()

    ids = await waiting(world, "shoes", "hats")
    await world.settle()

    assert said(world) == ["first", "shoes", "hats"]
    assert [await world.state(one) for one in ids] == ["sent", "sent"]


async def test_items_have_the_data_of_their_templates(make_world: MakeWorld) -> None:
    tables = merging()
    tables["templates"] = {
        "round-up": {
            "sms": {"text": "{% for one in items %}{{ one.data.name }}={{ one.text }} {% endfor %}"}
        },
        "offer": {"sms": {"text": "Buy {{ name }}"}},
    }
    tables["categories"] = {"marketing": {"chain": [{"channel": "sms"}]}}
    world = await make_world(**tables)
    world.start()
    await post(world, "first")
    await world.sleep(1.0)

    for name in ("shoes", "hats"):
        await post(world, "", content={}, template="offer", data={"name": name})
    await world.settle()

    assert said(world)[1] == "shoes=Buy shoes hats=Buy hats"


async def test_digest_falls_back_as_its_messages_would(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    await post(world, "first", chain=(SMS, EMAIL), content={"text": "first", "subject": "s"})
    world.start()
    await world.sleep(1.0)
    for name in "ab":
        world.senders[name].script(wire.Rejected(code="7"))

    for text in ("shoes", "hats"):
        await post(world, text, chain=(SMS, EMAIL), content={"text": text, "subject": "s"})
    await world.settle()

    assert said(world, "m") == ["2 offers: shoes; hats;"]
    (digest,) = await digests(world)
    assert await world.state(digest) == "sent"


async def test_cancelled_and_replaced_and_expired_are_left_out(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()
    ids = await waiting(world, "shoes", "hats", "socks")
    await world.desk.cancel(world.caller(), ids[0])
    old = await post(world, "old", replaces="word")
    await world.sleep(1.0)
    short = await post(world, "short", expires_in=30.0)

    await post(world, "new", replaces="word")
    await world.settle()

    assert said(world) == ["first", "3 offers: hats; socks; new;"]
    assert [await world.state(one) for one in (ids[0], old)] == ["cancelled", "cancelled"]
    assert ("suppressed", "cap:offers") in await events(world, short)


async def test_replaced_one_that_was_not_cancelled_is_left_out(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(**merging())
    world.start()

    async def retire(*args: Any) -> None:
        """As if the process had died before it came to that."""

    monkeypatch.setattr(world.replacing, "retire", retire)
    ids = await waiting(world, "shoes", "hats")
    old = await post(world, "old", replaces="word")
    await post(world, "new", replaces="word")
    await world.settle()

    assert said(world) == ["first", "3 offers: shoes; hats; new;"]
    assert (await events(world, old))[-1][1].startswith("replaced by")
    assert {await world.state(one) for one in ids} == {"cancelled"}


async def test_ban_that_comes_before_the_digest_holds_for_it(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()
    ids = await waiting(world, "shoes", "hats")

    await world.bans.add_address(
        wire.Channel.SMS, wire.Address(phone=LI.phone), reason="bounced", source="a"
    )
    await world.settle()

    assert said(world) == ["first"]
    assert [await world.state(one) for one in ids] == ["suppressed"] * 2


async def test_digest_that_the_night_holds_waits_for_the_morning(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()
    ids = await waiting(world, "shoes", "hats")
    opens = world.clock.now_ms() + int(3 * MINUTE * 1000)

    def hold_of(row: Claimed, now_ms: int) -> Hold | None:
        is_digest = row.case.message.digest
        return Hold("night", opens) if is_digest and now_ms < opens else None

    world.hold_of = hold_of
    await world.settle()

    assert said(world) == ["first", "2 offers: shoes; hats;"]
    assert world.clock.now_ms() >= opens
    (digest,) = await digests(world)
    assert ("deferred", "night") in await events(world, digest)
    assert {await world.state(one) for one in ids} == {"cancelled"}


async def test_digest_that_waits_is_not_merged_again(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    for name in "ab":
        world.senders[name].answer = lambda message, time: (
            wire.Deferred(code="busy", cause=wire.Cause.RECIPIENT, retry_after=90.0)
            if "2 offers" in message.content.text and time == 1
            else wire.Accepted()
        )
    world.start()
    await waiting(world, "shoes", "hats")
    await world.sleep(MINUTE + 5.0)

    for text in ("socks", "gloves"):
        await post(world, text)
    await world.settle()

    assert {*said(world)} == {"first", "2 offers: shoes; hats;", "2 offers: socks; gloves;"}


async def test_what_was_merged_is_still_said_already(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()
    once = Dedupe(key="shoes", window=3600.0)
    await post(world, "first")
    await world.sleep(1.0)

    shoes = await post(world, "shoes", dedupe=once)
    await post(world, "hats")
    await world.settle()
    again = await post(world, "shoes", dedupe=once)

    assert await world.state(shoes) == "cancelled"
    assert again == shoes


async def test_newcomer_joins_what_is_about_to_leave(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()
    await waiting(world, "shoes")
    await world.stop()
    await world.jump(MINUTE)
    await post(world, "hats")

    world = await make_world(owner="n2", **merging())
    world.start("a", "b")  # nobody looks for what is due
    await world.settle()

    assert said(world) == ["2 offers: shoes; hats;"]


async def test_processes_that_claim_parts_of_the_same_make_one_digest(
    make_world: MakeWorld,
) -> None:
    worlds = [await make_world(owner=name, **merging()) for name in ("n1", "n2", "n3")]
    for world in worlds:
        world.start("a", "b", "upkeep")
    first, *_ = worlds
    await post(first, "first")
    await first.sleep(1.0)
    texts = [f"{n}." for n in range(12)]
    await asyncio.gather(*(post(worlds[n % 3], text) for n, text in enumerate(texts)))
    await first.settle()

    sent = [one for world in worlds for one in said(world)]
    (only,) = [one for one in sent if one != "first"]
    assert only.startswith("12 offers:")
    assert all(f" {one};" in only for one in texts)


async def test_store_that_goes_away_meanwhile_loses_and_doubles_nothing(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(**merging())
    world.start()
    ids = await waiting(world, "shoes", "hats")
    troubles = {"cases": 1, "give_back": 2, "commit": 1}

    def failing(name: str) -> Any:
        ordinary = getattr(world.store, name)

        async def call(*args: Any, **values: Any) -> Any:
            merges = name != "commit" or any(one.bundle for one in args[0])
            if merges and troubles[name] > 0:
                troubles[name] -= 1
                raise StoreUnavailable("away")
            return await ordinary(*args, **values)

        return call

    for name in troubles:
        monkeypatch.setattr(world.store, name, failing(name))
    await world.settle()

    assert troubles == {"cases": 0, "give_back": 0, "commit": 0}
    assert said(world) == ["first", "2 offers: shoes; hats;"]
    assert {await world.state(one) for one in ids} == {"cancelled"}


@pytest.mark.parametrize("when", ["give_back", "merge", "merged"])
async def test_crash_while_merging_loses_and_doubles_nothing(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    tables = {**merging(), "categories": {"marketing": {"on_unknown": "resend"}}}
    world = await make_world(**tables)
    world.start()
    ids = await waiting(world, "shoes", "hats")
    died = asyncio.Event()

    async def die(*args: Any, **values: Any) -> Any:
        died.set()
        await asyncio.Event().wait()

    async def merge_and_die(*args: Any, **values: Any) -> Any:
        await ordinary(*args, **values)
        return await die()

    ordinary = world.finisher.merge
    match when:
        case "give_back":
            monkeypatch.setattr(world.store, "give_back", die)
        case "merge":
            monkeypatch.setattr(world.finisher, "merge", die)
        case "merged":
            monkeypatch.setattr(world.finisher, "merge", merge_and_die)
    await died.wait()
    await world.crash()
    monkeypatch.undo()
    later = await make_world(owner="n2", **tables)
    await later.upkeep.adopt_orphans()
    later.start()
    await later.settle()

    sent = " ".join(said(later))
    assert sent.count("shoes") == sent.count("hats") == 1
    states = [await later.state(one) for one in ids]
    assert states == (["sent"] if when == "give_back" else ["cancelled"]) * 2


async def preview(world: Any, **fields: Any) -> Any:
    usual = {"to": LI, "category": "marketing", "content": {"text": "t"}}
    return await world.intake.preview(world.caller(), Submission(**{**usual, **fields}))


async def test_preview_says_that_it_would_be_merged(make_world: MakeWorld) -> None:
    world = await make_world(**merging())
    world.start()

    free = await preview(world)
    await waiting(world, "shoes", "hats")
    full = await preview(world)
    short = await preview(world, expires_in=20.0)

    assert (free.decision, free.reasons) == ("send", ["cap:offers: 0 of 1 within 1m used"])
    assert full.decision == "merge"
    assert full.reasons == ["cap:offers: 1 of 1 within 1m used, 2 wait to be merged"]
    assert 0 < full.until_ms - world.clock.now_ms() <= MINUTE * 1000
    assert (short.decision, short.until_ms) == ("suppress", None)
