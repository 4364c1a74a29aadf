"""What has reached people, as a store keeps it: by month, so that older months can count less."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from gateway.model.values import Value


class Habit(Value, kw_only=False):
    """How often somebody was reached on a channel in a month."""

    #: who: a keyed hash
    subject: str
    channel: str
    #: twelve for each year, and one for each month since January
    month: int
    tries: float
    reached: float


def month_of(ms: int) -> int:
    """The month of a time, in UTC, as habits are counted by."""
    then = datetime.fromtimestamp(ms / 1000, UTC)
    return 12 * then.year + then.month - 1


def habit_values(habits: Sequence[Habit]) -> list[tuple[str, str, int, float, float]]:
    """As queries take them: each place once, sorted."""
    sums: dict[tuple[str, str, int], tuple[float, float]] = {}
    for one in habits:
        place = (one.subject, one.channel, one.month)
        tries, reached = sums.get(place, (0.0, 0.0))
        sums[place] = tries + one.tries, reached + one.reached
    return [(*place, *sums[place]) for place in sorted(sums)]


class Habits(Protocol):
    """What has reached people, to choose their channels by. `Ledger.purge` forgets old months."""

    async def add_habits(self, habits: Sequence[Habit]) -> None:
        """Count them beside what is there; nothing of who is forgotten."""
        ...

    async def forget_habits(self, subject: str, *, until_ms: int) -> None:
        """Until then nothing is counted: `Ledger.purge` ends it, with what slipped in."""
        ...

    async def habits(self, subjects: Sequence[str]) -> Sequence[Habit]:
        """All of these subjects, in no order."""
        ...
