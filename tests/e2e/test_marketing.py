"""No offer leaves without consent, in quiet hours, to a banned address or over a cap: over any
history, told at the providers' door, with four nodes that race for the same person.

What is known here is what was said and when; nothing of it is read from the gateway.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, note, settings

from tests.e2e.stores import Sql
from tests.e2e.stories import (
    CHINA,
    HISTORIES,
    WAITS_MS,
    Ban,
    Code,
    Leap,
    Lift,
    Offer,
    Person,
    Wish,
    Word,
)
from tests.tables import merge

MORNING = datetime(2026, 11, 23, 9, tzinfo=CHINA)
HOUR_MS, MOST = 3_600_000, 2

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


class Story:
    """One history: what was sent, and what must have come of it."""

    def __init__(self, race: Race, number: int, eventually: Any) -> None:
        self.race = race
        self.person = Person(number)
        #: by text
        self.offers: dict[str, Offer] = {}
        self.codes: dict[str, Code] = {}
        self._eventually = eventually

    async def tell(self, events: Sequence[object]) -> None:
        """Of a day that begins at nine."""
        day_ms, now_ms = 24 * HOUR_MS, self.race.clock.now_ms()
        to_nine_ms = -(now_ms - int(MORNING.timestamp() * 1000)) % day_ms
        await self.race.leap(to_nine_ms / 1000, self._eventually)
        for place, event in enumerate(events):
            word = f"{self.person.id}/{place}"
            start_ms = self.race.clock.now_ms()
            match event:
                case Offer():
                    await self._offer(event, word)
                    continue
                case Code(by):
                    self.codes[f"code {word}"] = event
                    to = self.person.to[by] | self.person.to["id"]
                    await self._post("otp", f"code {word}", by, to)
                case Leap(minutes):
                    await self.race.leap(minutes * 60.0, self._eventually)
                case Wish() | Ban() | Lift():
                    await self._record(event, start_ms)
            self.race.clock.jump(0.002)  # two words at the same moment mean nothing
        await self.race.leap(60.0, self._eventually)

    async def _offer(self, event: Offer, word: str) -> None:
        texts = {f"offer {word}/{number}": event for number in range(event.count)}
        self.offers |= texts
        to = self.person.to[event.by] | (self.person.to["id"] if event.is_named else {})
        await asyncio.gather(*(self._post("offers", text, event.by, to) for text in texts))

    async def _post(self, category: str, text: str, by: str, to: object) -> None:
        body = {
            "to": to,
            "category": category,
            "content": {"text": text, "title": text},
            "chain": [{"channel": by}],
        }
        status, answer = await self.race.call("POST", "/v1/messages", body)
        assert status == 202 or (status == 422 and "consent" in str(answer)), answer

    async def _record(self, event: Wish | Ban | Lift, start_ms: int) -> None:
        """What is said, and from when to when the gateway was told."""
        item: dict[str, Any] = {"to": self.person.to[event.about]}
        match event:
            case Wish(agrees, about, minutes):
                until_ms = start_ms + int(minutes * 60_000) if minutes else None
                item |= {"category": "offers", "source": "form", "at": shown(start_ms)}
                item |= {"expires_at": shown(until_ms)} if until_ms else {}
                method, path = ("PUT", "") if agrees else ("POST", "/withdraw")
                status, _ = await self.race.call(method, f"/v1/consents{path}", [item])
                assert status == 200
                end_ms = self.race.clock.now_ms()
                self.person.words.append(Word(about, agrees, start_ms, end_ms, until_ms))
            case Ban(reason):
                item["reason"] = reason
                status, _ = await self.race.call("PUT", "/v1/suppressions", [item])
                assert status == 200
                self.person.bans.append((event.about, reason, self.race.clock.now_ms(), []))
            case Lift():
                await self.race.call("POST", "/v1/suppressions/lift", [item])
                self.person.lift(event.about, start_ms, self.race.clock.now_ms())

    def check(self) -> None:
        arrived = self.race.arrived
        for text, offer in self.offers.items():
            assert len(arrived[text]) <= 1, "nothing is sent twice"
            for at_ms in arrived[text]:
                why = self.person.must_not(offer.by, is_named=offer.is_named, at_ms=at_ms)
                assert not why, (text, at_ms, self.person.words, self.person.bans)
        for times in self._counted().values():
            for at_ms in times:
                inside = [one for one in times if at_ms <= one < at_ms + HOUR_MS - WAITS_MS]
                assert len(inside) <= MOST, times
        for text, code in self.codes.items():
            if not self.person.was_reported(code.by):
                assert len(arrived[text]) == 1, "nobody can refuse a code"

    def _counted(self) -> dict[str, list[int]]:
        """When offers arrived, one or several in one message, by who is counted: the person, or
        the address."""
        found: dict[str, list[int]] = defaultdict(list)
        for texts, at_ms in self.race.arrivals:
            offers = [self.offers[text] for text in texts if text in self.offers]
            for about in {"id" if one.is_named else one.by for one in offers}:
                found[about].append(at_ms)
        return found


def shown(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


COUNT = itertools.count(1)
EVERYBODY_AGREES = [Wish(True, "id"), Wish(True, "sms"), Wish(True, "push")]
#: Night comes, and these wait for the morning.
WAITING = [Leap(800), Offer(4, "push", True)]


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
@example(history=[Wish(True, "id"), *WAITING, Ban("opt_out", "id"), Leap(840)])
@example(history=[Wish(True, "id"), *WAITING, Wish(False, "id"), Lift("id"), Leap(840)])
@example(history=[Wish(True, "id", 900), *WAITING, Leap(840)])
@example(history=[Wish(True, "id"), Leap(750), Offer(8, "sms", True), *[Leap(61)] * 3])
@settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
async def test_no_offer_arrives_that_must_not(
    race: Race, eventually: Any, history: Sequence[object]
) -> None:
    story = Story(race, next(COUNT), eventually)
    note(f"{history}")

    await story.tell(history)

    story.check()
