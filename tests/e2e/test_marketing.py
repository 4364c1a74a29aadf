"""No offer leaves without consent, in quiet hours, to a banned address or over a cap: over any
history, told at the providers' door, with four nodes that race for the same person.

What is known here is what was said and when; nothing of it is read from the gateway.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.e2e.stores import Sql
from tests.tables import merge

#: Of all who are written to here: their numbers say so, or the rules.
CHINA = timezone(timedelta(hours=8))
MORNING = datetime(2026, 11, 23, 9, tzinfo=CHINA)
HOUR_MS, MOST = 3_600_000, 2
#: Within so much a ban holds, and so much may lie between a row's claim and its call.
HOLDS_MS, WAITS_MS = 5_000, 3_000

TABLES: dict[str, Any] = {
    "api": {"listen": "127.0.0.1:0", "internal": "127.0.0.1:0"},
    "lanes": {"sms": {"spill_after": "10ms"}},
    "categories": {
        "offers": {"consent": True, "unsubscribe": True, "timing": ["night"], "expires_in": "2d"},
        "otp": {"expires_in": "2d"},  # hours are nothing here
    },
    "timing": {"night": {"quiet": ["22:00-08:00"], "default_zone": "Asia/Shanghai"}},
    "caps": {
        "hour": {"most": MOST, "within": "1h", "categories": ["offers"]},
        "day": {
            "most": 5,
            "calendar": "day",
            "zone": "Asia/Shanghai",
            "categories": ["offers"],
            "over": "drop",
        },
    },
}

#: What texts that can be refused end with in China.
REFUSAL = " 拒收请回复R"

#: What is over the cap of an hour leaves as one, a text a line.
MERGED = "{% for item in items %}{{ item.text }}\n{% endfor %}"
MERGING: dict[str, Any] = {
    "caps": {"hour": {"over": "merge", "digest": "round-up"}},
    "templates": {"round-up": {one: {"text": MERGED} for one in ("sms", "push", "email")}},
}


@dataclass(frozen=True)
class Offer:
    """Several at once, each by another node."""

    count: int
    by: str
    is_named: bool


@dataclass(frozen=True)
class Code:
    by: str


@dataclass(frozen=True)
class Wish:
    agrees: bool
    about: str


@dataclass(frozen=True)
class Ban:
    reason: str
    about: str


@dataclass(frozen=True)
class Lift:
    about: str


@dataclass(frozen=True)
class Leap:
    minutes: float


CHANNELS, NAMES = st.sampled_from(["sms", "push"]), st.sampled_from(["sms", "push", "id"])
HISTORIES = st.lists(
    st.one_of(
        st.builds(Offer, st.integers(1, 8), CHANNELS, st.booleans()),
        st.builds(Offer, st.integers(1, 8), CHANNELS, st.booleans()),
        st.builds(Code, CHANNELS),
        st.builds(Wish, st.sampled_from([True, True, False]), NAMES),
        st.builds(Ban, st.sampled_from(["opt_out", "opt_out", "complaint"]), NAMES),
        st.builds(Lift, NAMES),
        st.builds(Leap, st.sampled_from([0.1, 20, 61, 300, 840])),
        st.builds(Leap, st.sampled_from([0.1, 61, 300, 840])),
    ),
    min_size=4,
    max_size=14,
)


class Person:
    """What one history means."""

    def __init__(self, number: int) -> None:
        self.id = f"person-{number}"
        self.to: dict[str, dict[str, object]] = {
            "sms": {"phone": f"+86138{number:08d}"},
            "push": {"push": [{"app": "ios", "token": f"token-{number}"}]},
            "id": {"recipient": self.id},
        }
        #: (about, agrees, from, to): said in between, of an address or the id
        self.words: list[tuple[str, bool, int, int]] = []
        #: (about, reason) to (from when it holds for sure, until when)
        self.bans: list[tuple[str, str, int, list[int]]] = []

    def must_not(self, by: str, *, is_named: bool, at_ms: int) -> str:
        """Why an offer that arrives then should not; '' if it may."""
        names = {by, "id"} if is_named else {by}
        if not any(self._may_agree(name, at_ms) for name in names):
            return "no consent"
        if any(self._has_refused(name, at_ms) for name in names):
            return "refused"
        if self._is_banned(names, at_ms):
            return "banned"
        wall, before = (
            datetime.fromtimestamp(ms / 1000, CHINA).hour for ms in (at_ms, at_ms - WAITS_MS)
        )
        return "quiet hours" if all(not 8 <= hour < 22 for hour in (wall, before)) else ""

    def is_banned(self, by: str, at_ms: int) -> bool:
        """For codes: by what is no mere wish, at any time."""
        return any(about in (by, "id") and why == "complaint" for about, why, *_ in self.bans)

    def _is_banned(self, names: set[str], at_ms: int) -> bool:
        return any(
            about in names and since <= at_ms - HOLDS_MS and (not until or until[0] > at_ms)
            for about, _, since, until in self.bans
        )

    def _last(self, name: str, at_ms: int) -> tuple[bool | None, bool]:
        """(what had been said for long enough, whether they may have agreed since)."""
        of_it = [one for one in self.words if one[0] == name]
        long_ago = [agrees for _, agrees, _, end in of_it if end <= at_ms - HOLDS_MS]
        since = [
            agrees for _, agrees, start, end in of_it if end > at_ms - HOLDS_MS and start <= at_ms
        ]
        return (long_ago[-1] if long_ago else None), any(since)

    def _may_agree(self, name: str, at_ms: int) -> bool:
        said, again = self._last(name, at_ms)
        return said is True or again

    def _has_refused(self, name: str, at_ms: int) -> bool:
        said, again = self._last(name, at_ms)
        return said is False and not again


class Race:
    """Nodes on one store and by one clock, and whatever arrives at the providers."""

    def __init__(self, stand: Any, sql: Sql, clock: Any, nodes: Sequence[Any]) -> None:
        self.stand = stand
        self.sql = sql
        self.clock = clock
        self.nodes = nodes
        self._turn = itertools.cycle(nodes)
        #: by text, when it arrived
        self.arrived: dict[str, list[int]] = defaultdict(list)
        #: (texts, when): what arrived as one
        self.arrivals: list[tuple[list[str], int]] = []
        for simulator in (stand.acme, stand.backup, stand.beacon):
            simulator.log.watchers.append(self._note)

    def _note(self, arrival: Any) -> None:
        text, at_ms = arrival.content["text"], self.clock.now_ms()
        texts = text.removesuffix(REFUSAL).splitlines()
        self.arrivals.append((texts, at_ms))
        for text in texts:
            self.arrived[text].append(at_ms)

    async def call(self, method: str, path: str, body: object) -> tuple[int, Any]:
        """By the next node."""
        answer: tuple[int, Any] = await next(self._turn).call(method, path, body)
        return answer

    async def leap(self, seconds: float, eventually: Any) -> None:
        """Time passes when nothing is on its way to a provider, or has a place and is about to be,
        and what it brings is done."""

        def leapt() -> bool:
            accounts = [
                account
                for node in self.nodes
                for account in node.gateway._parts.carriers.accounts.values()
            ]
            if any(account.in_flight for account in accounts):
                return False
            self.clock.jump(seconds)
            return True

        async def is_done() -> bool:
            now_ms = self.clock.now_ms()
            query = "SELECT count(*) FROM queue WHERE lane IN ('sms', 'push') AND due_ms <= "
            return await self.sql(query + str(now_ms)) == [(0,)]

        await eventually(is_done)
        await eventually(leapt)
        await eventually(is_done)


@pytest.fixture(params=["defer", "merge"])
async def race(
    url: str, stand: Any, sql: Sql, engine: str, jump_clock: Any, request: Any
) -> AsyncIterator[Race]:
    for simulator in (stand.acme, stand.backup, stand.beacon):
        simulator.knobs.receipt = None
    clock = jump_clock(MORNING.astimezone(UTC))
    merges = request.param == "merge"
    rules = merge(TABLES, MERGING) if merges else TABLES
    tables = {**rules, "store": {"url": url}, "tenants": {"shop": {"webhook": None}}}
    count = 4 if engine == "postgres" else 1
    nodes = [await stand.start(tables, clock=clock) for _ in range(count)]
    made = Race(stand, sql, clock, nodes)
    yield made
    offers = [text for text in made.arrived if text.startswith("offer")]
    assert len(offers) > 9, "or nothing has been proved"
    assert any(len(texts) > 1 for texts, _ in made.arrivals) is merges


COUNT = itertools.count(1)
EVERYBODY_AGREES = [Wish(True, "id"), Wish(True, "sms"), Wish(True, "push")]


@given(history=HISTORIES)
@example(history=[*EVERYBODY_AGREES, Offer(8, "sms", True), Offer(8, "push", True), Leap(61)])
@example(
    history=[
        *EVERYBODY_AGREES,
        Offer(8, "sms", False),
        Wish(False, "sms"),
        Code("sms"),
        Leap(61),
        Leap(61),
    ]
)
@example(
    history=[Wish(True, "id"), Leap(800), Offer(4, "push", True), Ban("opt_out", "id"), Leap(840)]
)
@settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
async def test_no_offer_arrives_that_must_not(
    race: Race, eventually: Any, history: Sequence[object]
) -> None:
    person = Person(next(COUNT))
    offers: dict[str, Offer] = {}
    codes: dict[str, Code] = {}
    for place, event in enumerate(history):
        await act(race, person, event, f"{person.id}/{place}", offers, codes, eventually)
    await race.leap(60.0, eventually)

    for text, offer in offers.items():
        for at_ms in race.arrived[text]:
            why = person.must_not(offer.by, is_named=offer.is_named, at_ms=at_ms)
            assert not why, (text, offer, at_ms)
    for times in counted(race, offers).values():
        for at_ms in times:
            inside = [one for one in times if at_ms <= one < at_ms + HOUR_MS - WAITS_MS]
            assert len(inside) <= MOST, times
    for text, code in codes.items():
        if not person.is_banned(code.by, race.clock.now_ms()):
            assert len(race.arrived[text]) == 1, "nobody can refuse a code"


def counted(race: Race, offers: dict[str, Offer]) -> dict[str, list[int]]:
    """When offers arrived, by who is counted: the person, or the address."""
    found: dict[str, list[int]] = defaultdict(list)
    for text in offers:
        assert len(race.arrived[text]) <= 1, "nothing is sent twice"
    for texts, at_ms in race.arrivals:
        if texts[0] in offers:
            (about,) = {_counts_for(offers[text]) for text in texts}
            found[about].append(at_ms)
    return found


def _counts_for(offer: Offer) -> str:
    return "id" if offer.is_named else offer.by


async def act(
    race: Race,
    person: Person,
    event: object,
    word: str,
    offers: dict[str, Offer],
    codes: dict[str, Code],
    eventually: Any,
) -> None:
    start_ms = race.clock.now_ms()
    match event:
        case Offer(count, by, is_named):
            texts = {f"offer {word}/{number}": event for number in range(count)}
            offers |= texts
            to = {**person.to[by], **(person.to["id"] if is_named else {})}
            await asyncio.gather(*(post(race, "offers", text, by, to) for text in texts))
        case Code(by):
            codes[f"code {word}"] = event
            await post(race, "otp", f"code {word}", by, {**person.to[by], **person.to["id"]})
        case Wish(agrees, about):
            path = "/v1/consents" if agrees else "/v1/consents/withdraw"
            at = datetime.fromtimestamp(start_ms / 1000, UTC).isoformat()
            item = {"to": person.to[about], "category": "offers", "source": "form", "at": at}
            status, _ = await race.call("PUT" if agrees else "POST", path, [item])
            assert status == 200
            person.words.append((about, agrees, start_ms, race.clock.now_ms()))
        case Ban(reason, about):
            item = {"to": person.to[about], "reason": reason}
            status, _ = await race.call("PUT", "/v1/suppressions", [item])
            assert status == 200
            person.bans.append((about, reason, race.clock.now_ms(), []))
        case Lift(about):
            for name, _, _, until in person.bans:
                if name == about and not until:
                    until.append(start_ms)
            item = {"to": person.to[about]}
            await race.call("POST", "/v1/suppressions/lift", [item])
        case Leap(minutes):
            await race.leap(minutes * 60.0, eventually)
    if not isinstance(event, Offer):  # two words at the same moment mean nothing
        race.clock.jump(0.002)


async def post(race: Race, category: str, text: str, by: str, to: object) -> None:
    body = {
        "to": to,
        "category": category,
        "content": {"text": text, "title": text},
        "chain": [{"channel": by}],
    }
    status, answer = await race.call("POST", "/v1/messages", body)
    assert status == 202 or (status == 422 and "consent" in str(answer)), answer
