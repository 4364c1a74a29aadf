"""Bans and permissions as nodes see them that share a store: how soon, and over any history."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from gateway.dispatch.bans import Bans
from gateway.model import wire
from gateway.model.case import Claimed, Reply
from gateway.model.permission import Reason, Suppression, Wish
from gateway.store.base import Store
from tests.store.conftest import Make

KEY = b"k" * 32
PHONE = wire.Address(phone="+8613800138000")
ACCOUNTS = ("acme", "other")
DAY_MS = 86_400_000


@dataclass
class FakeClock:
    ms: int = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


def bans_on(store: Store, clock: FakeClock) -> Bans:
    return Bans(
        store,
        clock,
        KEY,
        by_consent=["offers"],
        declinable=["news"],
        providers_of=lambda lane: ACCOUNTS,
    )


def wish(bans: Bans, clock: FakeClock, *, agrees: bool, **fields: Any) -> Wish:
    usual = {
        "tenant": "billing",
        "category": "offers",
        "name": bans.hashed(wire.Channel.SMS, PHONE),
        "at_ms": clock.ms,
        "source": "form",
    }
    return Wish(**{**usual, "agrees": agrees, **fields})


async def claimed(store: Store, make: Make, *categories: str, tenant: str = "billing") -> Any:
    """Messages of these categories to one phone, claimed, in their order."""
    drafts = [make.message(tenant=tenant, category=category) for category in categories]
    await store.accept(drafts)
    rows = await store.claim(make.request(len(drafts)))
    by_id = {row.case.id: row for row in rows}
    return [by_id[draft.id] for draft in drafts]


async def test_first_ban_of_one_node_counts_on_the_other_after_a_refresh(
    open_store: Any, make: Make
) -> None:
    clock = FakeClock()
    ours, theirs = await open_store("n1"), await open_store("n2")
    here, there = bans_on(ours, clock), bans_on(theirs, clock)
    rows = await claimed(theirs, make, "news", "otp")
    before = [one.reason for one in await there.of(rows, "acme")]

    await here.add_address(wire.Channel.SMS, PHONE, reason="bounced", source="acme")
    await there.refresh()  # as upkeep does every two seconds

    assert before == ["", ""]
    assert [one.reason for one in await there.of(rows, "acme")] == ["bounced", "bounced"]


async def test_later_bans_and_taken_consent_count_on_the_other_node_at_once(
    open_store: Any, make: Make
) -> None:
    clock = FakeClock()
    ours, theirs = await open_store("n1"), await open_store("n2")
    here, there = bans_on(ours, clock), bans_on(theirs, clock)
    await here.take([wish(here, clock, agrees=True)])
    rows = await claimed(theirs, make, "offers", "news", "otp")
    before = [one.reason for one in await there.of(rows, "acme")]

    refusals = [
        wish(here, clock, agrees=False, category=category) for category in ("offers", "news")
    ]
    await here.take(refusals)
    first = [bool(one.reason) for one in await there.of(rows, "acme")]
    await there.refresh()
    await here.add_address(wire.Channel.SMS, PHONE, reason="bounced", source="acme")

    assert before == ["", "", ""]
    assert first == [True, True, False], "rows that need a consent bring the look-up with them"
    assert all(one.reason for one in await there.of(rows, "acme"))


async def test_refresh_that_began_before_a_ban_does_not_hide_it(store: Store) -> None:
    bans = bans_on(store, FakeClock())
    has_suppressions = store.has_suppressions

    async def slow() -> bool:
        found = await has_suppressions()
        await bans.add_address(wire.Channel.SMS, PHONE, reason="bounced", source="acme")
        return found

    store.has_suppressions = slow  # type: ignore[method-assign]
    await bans.refresh()

    assert await bans.exist()


# Any history


@dataclass(frozen=True)
class Said:
    """Somebody agrees or refuses; times in seconds, after and before the test's start."""

    category: str
    agrees: bool
    at: int
    until: int | None = None


@dataclass(frozen=True)
class Banned:
    reason: Reason
    category: str
    until: int | None


@dataclass(frozen=True)
class Lifted:
    reason: Reason


@dataclass(frozen=True)
class Wrote:
    """`STOP` or `START` to an account."""

    account: str
    stops: bool


@dataclass(frozen=True)
class Waited:
    seconds: int


HARD = [one for one in Reason if one is not Reason.OPT_OUT]
AGO, SOON = st.integers(-4, 0), st.integers(1, 3)
HISTORIES = st.lists(
    st.one_of(
        st.builds(Said, st.just("offers"), st.booleans(), AGO),
        st.builds(Said, st.just("offers"), st.just(True), AGO, SOON),
        st.builds(Said, st.just("news"), st.booleans(), AGO),
        st.builds(
            Banned,
            st.sampled_from(list(Reason)),
            st.sampled_from(["", "offers", "otp"]),
            st.none() | SOON,
        ).filter(lambda one: one.reason in HARD or one.category == ""),
        st.builds(Lifted, st.sampled_from(HARD)),
        st.builds(Wrote, st.sampled_from(ACCOUNTS), st.booleans()),
        st.builds(Waited, SOON),
    ),
    min_size=3,
    max_size=15,
)


class Past:
    """What a history means, told from what was said and not from what is stored."""

    def __init__(self) -> None:
        self.now = 0
        self.said: list[tuple[Said, int]] = []
        self.bans: list[tuple[Banned, int]] = []
        self.stopped: set[str] = set()

    def note(self, event: object) -> None:
        match event:
            case Said():
                self.said.append((event, self.now))
            case Banned():
                self.bans = [
                    one
                    for one in self.bans
                    if (one[0].reason, one[0].category) != (event.reason, event.category)
                ]
                self.bans.append((event, self.now))
            case Lifted(reason):
                self.bans = [one for one in self.bans if one[0].reason is not reason]
            case Wrote(account, stops):
                (self.stopped.add if stops else self.stopped.discard)(account)
            case Waited(seconds):
                self.now += seconds

    def is_banned(self, category: str) -> bool:
        return any(
            (until := ban.until) is None or since + until > self.now
            for ban, since in self.bans
            if ban.category in ("", category)
            and (ban.reason is not Reason.OPT_OUT or category != "otp")
        )

    def words(self, category: str) -> list[tuple[int, bool, bool]]:
        """(when, whether it is a refusal, whether it has expired)."""
        return [
            (
                since + one.at,
                not one.agrees,
                one.until is not None and since + one.until <= self.now,
            )
            for one, since in self.said
            if one.category == category
        ]

    def must_not(self, category: str) -> bool:
        """It would be wrong to send this."""
        words = self.words(category)
        refused = max((at for at, is_refusal, _ in words if is_refusal), default=None)
        agreed = [at for at, is_refusal, expired in words if not (is_refusal or expired)]
        ever = [at for at, is_refusal, _ in words if not is_refusal]
        if category == "offers" and not any(refused is None or at > refused for at in agreed):
            return True
        unanswered = refused is not None and not any(at > refused for at in ever)
        return self.is_banned(category) or unanswered

    def must(self, category: str) -> bool:
        """It would be wrong to hold this back."""
        if self.is_banned(category):
            return False
        if category == "otp":
            return True
        words = sorted(self.words(category))
        if not words:
            return category == "news"
        return not (words[-1][1] or any(expired for *_, expired in words))


async def act(store: Store, bans: Bans, clock: FakeClock, tenant: str, event: object) -> None:
    channel, hash_ = name = bans.hashed(wire.Channel.SMS, PHONE)
    match event:
        case Said(category, agrees, at, until):
            said = wish(
                bans,
                clock,
                agrees=agrees,
                tenant=tenant,
                category=category,
                at_ms=clock.ms + at * 1000,
                until_ms=None if until is None else clock.ms + until * 1000,
            )
            await bans.take([said])
        case Banned(reason, category, until):
            ban = Suppression(
                channel=channel,
                hash=hash_,
                tenant=tenant,
                category=category,
                reason=reason,
                source="desk",
                at_ms=clock.ms,
                until_ms=None if until is None else clock.ms + until * 1000,
            )
            await bans.put([ban])
        case Lifted(reason):
            await store.lift(tenant, [name], reason=reason)
        case Wrote(account, stops):
            reply = Reply(
                provider=account,
                key="",
                until_ms=clock.ms + DAY_MS,
                at_ms=clock.ms,
                address=name,
                ban="opted_out" if stops else "",
                lifts=not stops,
            )
            await store.take_replies([reply])
            bans.note_new()
        case Waited(seconds):
            await clock.sleep(seconds)


COUNT = itertools.count()


@given(history=HISTORIES)
@example(history=[Said("offers", True, -3, 2), Waited(3)])
@example(history=[Said("offers", False, -3), Said("offers", True, -4)])
@example(history=[Said("offers", True, -4), Said("offers", False, -4), Said("offers", True, -3)])
@settings(
    max_examples=60,
    # to make an example smaller takes minutes on a real store, and none is long
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_offers_need_consent_and_codes_heed_no_opt_out(
    store: Store, make: Make, history: Sequence[object]
) -> None:
    clock, past = FakeClock(), Past()
    bans = bans_on(store, clock)
    tenant = f"tenant{next(COUNT)}"
    rows: list[Claimed] = await claimed(store, make, "offers", "news", "otp", tenant=tenant)
    await store.lift("", [bans.hashed(wire.Channel.SMS, PHONE)])  # of another example

    for event in history:
        await act(store, bans, clock, tenant, event)
        past.note(event)
        for account in ACCOUNTS:
            found = await bans.of(rows, account)
            for row, one in zip(rows, found, strict=True):
                category = row.case.message.category
                stopped = account in past.stopped and category != "otp"
                if past.must_not(category) or stopped:
                    assert one.reason, (category, account, event)
                elif past.must(category):
                    assert not one.reason, (category, account, event)


@pytest.mark.parametrize("category", ["news", "offers"])
def test_oracle_knows_a_plain_story(category: str) -> None:
    past = Past()
    stories = []
    for event in (
        Said(category, True, -5),
        Said(category, False, -3),
        Said(category, True, -4),
        Said(category, True, 0),
        Banned(Reason.MANUAL, "", 2),
        Waited(3),
    ):
        past.note(event)
        stories.append((past.must(category), past.must_not(category)))

    assert stories == [
        (True, False),
        (False, True),
        (False, True),
        (True, False),
        (False, True),
        (True, False),
    ]
