"""Bans and permissions: what they are about, how long they hold, and which of two wishes stands."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import permission
from gateway.model.permission import (
    NOTHING,
    Consent,
    Outcome,
    Reason,
    Standing,
    Suppression,
    SuppressionFilter,
    Wish,
)
from gateway.model.values import replace
from gateway.store.base import Store

PHONE, EMAIL = ("sms", "hash1"), ("email", "hash2")
BAN = Suppression(
    channel="sms",
    hash="hash1",
    reason=Reason.HARD_BOUNCE,
    detail="\x00 unknown\x1a",
    source="acme",
    at_ms=10,
)
YES = Wish(
    tenant="billing",
    category="news",
    name=PHONE,
    agrees=True,
    at_ms=10,
    source="form",
    proof="form-8812",
)
NO = replace(YES, agrees=False, source="recipient", proof="")


async def bans_of(store: Store, now_ms: int = 100) -> list[Suppression]:
    found = await store.suppressed([PHONE, EMAIL], now_ms=now_ms)
    return [replace(one, id=0) for bans in found.values() for one in bans]


async def stands(store: Store, now_ms: int = 100) -> tuple[bool, bool]:
    """Whether the phone has agreed to the tenant's news, and whether it has refused them."""
    agreed = await store.consented("billing", "news", [PHONE], now_ms=now_ms)
    refused = [one for one in await bans_of(store, now_ms) if one.channel == "sms"]
    return agreed == {PHONE}, bool(refused)


async def test_ban_is_kept_with_all_that_is_known_of_it(store: Store) -> None:
    before = await store.has_suppressions()
    full = replace(BAN, tenant="billing", category="news", sender="acme", until_ms=200)
    await store.suppress([BAN, full, replace(full, channel="email", hash="hash2")])

    found = await store.suppressed([PHONE, ("sms", "hash2")], now_ms=100)

    assert (before, await store.has_suppressions()) == (False, True)
    assert [replace(one, id=0) for one in found[PHONE]] == [BAN, full]
    assert len({one.id for one in found[PHONE]}) == 2
    assert set(found) == {PHONE}
    assert await store.suppressed([], now_ms=100) == {}


async def test_reasons_stand_side_by_side_and_the_later_word_about_one_stays(store: Store) -> None:
    late = replace(BAN, detail="late", at_ms=20)
    complaint = replace(BAN, reason=Reason.COMPLAINT)

    await store.suppress([late, BAN])
    await store.suppress([complaint, BAN])

    assert await bans_of(store) == [late, complaint]


async def test_later_word_may_set_another_end(store: Store) -> None:
    await store.suppress([BAN])
    await store.suppress([replace(BAN, at_ms=11, until_ms=50)])

    assert len(await bans_of(store, now_ms=49)) == 1
    assert await bans_of(store, now_ms=50) == []


async def test_expired_ones_do_not_count_and_are_deleted(store: Store) -> None:
    brief = replace(YES, until_ms=50)
    await store.suppress([replace(BAN, until_ms=50)])
    await store.take_wishes([brief], now_ms=10)

    before, after = [await stands(store, now_ms=at) for at in (49, 50)]
    listed = await store.list_suppressions(SuppressionFilter(tenant=""), now_ms=50)
    recorded = await store.consents("billing", [PHONE], now_ms=50)
    await store.purge(before_ms=49, parked_before_ms=0, now_ms=50, limit=10)
    kept = await store.consents("billing", [PHONE], now_ms=49)
    await store.purge(before_ms=50, parked_before_ms=0, now_ms=50, limit=10)

    assert (before, after) == ((True, True), (False, False))
    assert (listed, recorded) == ([], [])
    assert not await store.has_suppressions()
    assert len(kept) == 1, "the proof is kept as long as messages are"
    assert await store.consents("billing", [PHONE], now_ms=49) == []


async def test_lift_takes_what_fits_and_no_other(store: Store) -> None:
    own = replace(BAN, tenant="billing")
    news = replace(own, category="news", reason=Reason.OPT_OUT)
    await store.suppress([BAN, own, news, replace(own, channel="email", hash="hash2")])

    assert await store.lift("shop", [PHONE]) == 0
    assert await store.lift("billing", []) == 0
    assert await store.lift("billing", [PHONE], category="news", reason="manual") == 0
    assert await store.lift("billing", [PHONE], category="news") == 1
    assert await store.lift("billing", [PHONE, EMAIL]) == 2
    assert await bans_of(store) == [BAN]


async def test_record_is_lifted_only_by_its_tenant(store: Store) -> None:
    await store.suppress([replace(BAN, tenant="billing")])
    ((ban,),) = (await store.suppressed([PHONE], now_ms=100)).values()

    assert await store.lift_records("shop", [ban.id]) == 0
    assert await store.lift_records("billing", []) == 0
    assert await store.lift_records("billing", [ban.id, ban.id + 1]) == 1
    assert await bans_of(store) == []


async def test_list_turns_pages_from_the_last_to_the_first(store: Store) -> None:
    for number in range(5):
        await store.suppress([replace(BAN, hash=f"h{number}", tenant="billing")])
    await store.suppress([BAN, replace(BAN, tenant="shop")])

    pages, cursor = [], 0
    while page := await store.list_suppressions(
        SuppressionFilter(tenant="billing", cursor=cursor, limit=2), now_ms=100
    ):
        pages.append([one.hash for one in page])
        cursor = page[-1].id

    assert pages == [["h4", "h3"], ["h2", "h1"], ["h0"]]


@pytest.mark.parametrize(
    ("filters", "hashes"),
    [
        ({}, ["d", "c", "b", "a"]),
        ({"channel": "email"}, ["d", "b"]),
        ({"category": "news"}, ["c"]),
        ({"reason": "manual"}, ["d"]),
        ({"reason": "manual", "channel": "sms"}, []),
    ],
)
async def test_list_can_be_narrowed(
    store: Store, filters: dict[str, Any], hashes: list[str]
) -> None:
    own = replace(BAN, tenant="billing", hash="a")
    for one in (
        own,
        replace(own, hash="b", channel="email"),
        replace(own, hash="c", category="news"),
        replace(own, hash="d", channel="recipient:email", reason=Reason.MANUAL),
    ):
        await store.suppress([one])

    found = await store.list_suppressions(
        SuppressionFilter(tenant="billing", **filters), now_ms=100
    )

    assert [one.hash for one in found] == hashes


async def test_consent_is_for_one_tenant_category_and_name(store: Store) -> None:
    assert await store.take_wishes([YES], now_ms=100) == [Outcome.RECORDED]

    async def consented(tenant: str, category: str) -> frozenset[Any]:
        return await store.consented(tenant, category, [PHONE, EMAIL], now_ms=100)

    assert await consented("billing", "news") == {PHONE}
    assert await consented("other", "news") == set()
    assert await consented("billing", "offers") == set()
    assert await store.consents("other", [PHONE], now_ms=100) == []
    assert await store.consents("billing", [PHONE, EMAIL], now_ms=100) == [
        Consent(
            tenant="billing",
            category="news",
            channel="sms",
            hash="hash1",
            source="form",
            proof="form-8812",
            at_ms=10,
        )
    ]


@pytest.mark.parametrize("later", [True, False], ids=["agrees", "refuses"])
async def test_later_wish_stands_whichever_came_first(store: Store, later: bool) -> None:
    early, late = replace(YES, agrees=not later), replace(YES, agrees=later, at_ms=20)

    forwards = [
        *await store.take_wishes([early], now_ms=100),
        *await store.take_wishes([late], now_ms=100),
    ]
    after = await stands(store)
    again = await store.take_wishes([early], now_ms=100)

    assert forwards == [Outcome.RECORDED, Outcome.RECORDED]
    assert after == (later, not later)
    assert again == [Outcome.SUPERSEDED if later else Outcome.REFUSED]
    assert await stands(store) == after


async def test_wishes_of_one_call_take_effect_in_their_order(store: Store) -> None:
    outcomes = await store.take_wishes(
        [YES, NO, replace(YES, at_ms=9), replace(NO, name=EMAIL), replace(YES, at_ms=11)],
        now_ms=100,
    )

    assert outcomes == ["recorded", "recorded", "refused", "recorded", "recorded"]
    assert await stands(store) == (True, False)


async def test_what_is_said_just_now_is_later_than_any_clock_says(store: Store) -> None:
    await store.take_wishes([replace(YES, at_ms=50)], now_ms=100)
    await store.take_wishes([replace(NO, at_ms=40, firm=True)], now_ms=100)
    left = await stands(store)

    await store.take_wishes([replace(YES, at_ms=45, firm=True)], now_ms=100)

    assert left == (False, True)
    assert await stands(store) == (True, False)


async def test_reports_are_queued_with_what_they_report(store: Store, make: Any) -> None:
    hooks = make.messages(4, internal=True, endpoint="e", lane="webhook", pin="e")
    left, again, back, old = [
        replace(wish, webhooks=[hook])
        for wish, hook in zip(
            (NO, replace(NO, at_ms=11), replace(YES, at_ms=12), replace(YES, at_ms=5)),
            hooks,
            strict=True,
        )
    ]

    for wish in (left, again, back, old):
        await store.take_wishes([wish], now_ms=100)

    rows = await store.claim_pinned("webhook", {"e": 10})
    assert [row.case.id for row in rows] == [hooks[0].id, hooks[2].id]


async def test_wishes_of_two_nodes_at_once_come_to_the_later_one(open_store: Any) -> None:
    ours, theirs = await open_store("n1"), await open_store("n2")
    names = [("sms", f"h{number}") for number in range(20)]
    mine = [replace(NO, name=name) for name in names]
    yours = [replace(YES, name=name, at_ms=20) for name in reversed(names)]

    await asyncio.gather(
        *itertools.chain.from_iterable(
            (ours.take_wishes([one], now_ms=100), theirs.take_wishes([other], now_ms=100))
            for one, other in zip(mine, yours, strict=True)
        )
    )

    assert await ours.consented("billing", "news", names, now_ms=100) == set(names)
    assert await ours.suppressed(names, now_ms=100) == {}


WISHES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5)).map(
        lambda one: replace(YES, agrees=one[0], at_ms=one[1])
    ),
    max_size=8,
)


@given(wishes=WISHES, chance=st.randoms(use_true_random=False))
def test_what_stands_does_not_depend_on_the_order(wishes: list[Wish], chance: Any) -> None:
    def left_by(them: list[Wish]) -> Standing:
        standing = NOTHING
        for wish in them:
            _, standing = permission.settle(wish, standing)
        return standing

    shuffled = list(wishes)
    chance.shuffle(shuffled)

    assert left_by(wishes) == left_by(shuffled)
    if wishes:
        last = max(wishes, key=lambda one: (one.at_ms, not one.agrees))
        assert (left_by(wishes).agreed_ms is not None) == last.agrees


@given(wishes=WISHES)
def test_wishes_together_are_wishes_one_by_one(wishes: list[Wish]) -> None:
    together = permission.settle_all(wishes, {})

    standing, outcomes = NOTHING, []
    for wish in wishes:
        outcome, standing = permission.settle(wish, standing)
        outcomes.append(outcome)

    assert list(together.outcomes) == outcomes
    assert [one.at_ms for one in together.agreed] == [
        one for one in [standing.agreed_ms] if one is not None
    ]
    assert [one.at_ms for one in together.refused] == [
        one for one in [standing.refused_ms] if one is not None
    ]


def test_proof_is_not_printed() -> None:
    consent = Consent(
        tenant="t",
        category="c",
        channel="sms",
        hash="h",
        source="form",
        proof="form-8812",
        at_ms=1,
    )

    assert "8812" not in f"{YES!r} {consent!r} {YES} {consent}"


async def test_consents_are_forgotten_of_one_tenant_and_whether_or_not_they_have_ended(
    store: Store,
) -> None:
    others = [replace(YES, tenant="shop"), replace(YES, name=EMAIL)]
    ended = replace(YES, category="offers", until_ms=20)
    await store.take_wishes([YES, ended, *others], now_ms=15)
    await store.suppress([BAN])

    await store.forget_consents("billing", [PHONE, ("email", "nobody")])
    await store.forget_consents("billing", [])

    left = [
        (one.tenant, one.channel)
        for tenant in ("billing", "shop")
        for one in await store.consents(tenant, [PHONE, EMAIL], now_ms=15)
    ]
    assert left == [("billing", "email"), ("shop", "sms")]
    assert await store.suppressed([PHONE], now_ms=15)
