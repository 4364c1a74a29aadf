"""What may happen to somebody, and what it means for offers and codes to them: told from what was
said and when, and from nothing that a gateway keeps.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

#: Of all who are written to here: their numbers say so, or the rules.
CHINA = timezone(timedelta(hours=8))
#: Within so much a ban holds, and so much may lie between a row's claim and its call.
HOLDS_MS, WAITS_MS = 5_000, 3_000


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
    #: after which a consent has ended; None: never
    minutes: float | None = None


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
        st.builds(Wish, st.booleans(), NAMES),
        st.builds(Wish, st.just(True), NAMES, st.sampled_from([None, 30, 700])),
        st.builds(Ban, st.sampled_from(["opt_out", "opt_out", "complaint"]), NAMES),
        st.builds(Lift, NAMES),
        st.builds(Leap, st.sampled_from([0.1, 20, 61, 300, 840])),
        st.builds(Leap, st.sampled_from([0.1, 61, 300, 840])),
    ),
    min_size=4,
    max_size=14,
)


@dataclass(frozen=True)
class Word:
    """Said in between these times (UTC epoch milliseconds), of an address or the id."""

    about: str
    #: None: all that was said is forgotten
    agrees: bool | None
    start_ms: int
    end_ms: int
    until_ms: int | None = None


class Person:
    """What one history means."""

    def __init__(self, number: int) -> None:
        self.id = f"person-{number}"
        self.to: dict[str, dict[str, Any]] = {
            "sms": {"phone": f"+86138{number:08d}"},
            "push": {"push": [{"app": "ios", "token": f"token-{number}"}]},
            "id": {"recipient": self.id},
        }
        self.words: list[Word] = []
        #: (about, reason, from when it holds for sure, until when)
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

    def was_reported(self, by: str) -> bool:
        """Whether there was ever a ban that holds for codes, too."""
        return any(about in (by, "id") and why == "complaint" for about, why, *_ in self.bans)

    def lift(self, about: str, start_ms: int, end_ms: int) -> None:
        """Bans are lifted, and refusals with them; consents stay what they are."""
        said = [one for one in self.words if one.about == about]
        if said and said[-1].agrees is False:
            self.words.append(Word(about, None, start_ms, end_ms))
        for name, _, _, until in self.bans:
            if name == about and not until:
                until.append(start_ms)

    def _is_banned(self, names: set[str], at_ms: int) -> bool:
        return any(
            about in names and since <= at_ms - HOLDS_MS and (not until or until[0] > at_ms)
            for about, _, since, until in self.bans
        )

    def _words(self, name: str, at_ms: int) -> tuple[Word | None, list[Word]]:
        """(the last that had been said for long enough, what has been said since)."""
        of_it = [one for one in self.words if one.about == name and one.start_ms <= at_ms]
        long_ago = [one for one in of_it if one.end_ms <= at_ms - HOLDS_MS]
        return (long_ago[-1] if long_ago else None), of_it[len(long_ago) :]

    def _may_agree(self, name: str, at_ms: int) -> bool:
        last, since = self._words(name, at_ms)
        return any(
            one.agrees and (one.until_ms is None or one.until_ms > at_ms - WAITS_MS)
            for one in (*since, last)
            if one is not None
        )

    def _has_refused(self, name: str, at_ms: int) -> bool:
        last, since = self._words(name, at_ms)
        refused = last is not None and last.agrees is False
        return refused and all(one.agrees is False for one in since)
