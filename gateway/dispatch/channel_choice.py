"""In which order to try the channels of a chain that says `best`. Pure.

What somebody asked for comes first; then what has reached them before; then what costs less. What
costs more than somebody is worth to the category is left out.
"""

from collections.abc import Mapping, Sequence

from gateway.model.message import Skipped, Step
from gateway.model.values import Value

#: What is assumed of a channel before it was tried: so many tries, of which half reached.
_PRIOR = 4.0

#: Channels whose shares differ by less than one part in so many are as good.
_BANDS = 5


class Reach(Value):
    """How often a channel was tried with somebody, and reached them; older times count less."""

    tries: float = 0.0
    reached: float = 0.0

    @property
    def share(self) -> float:
        return (self.reached + _PRIOR / 2) / (self.tries + _PRIOR)


class Person(Value):
    """What the choice depends on of the recipient."""

    #: channels in the order that they asked for
    preferred: Sequence[str] = ()
    #: by channel
    reach: Mapping[str, Reach] = {}
    #: most that a message to them may cost; None: whatever it costs
    budget: float | None = None


class Choice(Value):
    """The chain for one recipient."""

    steps: tuple[Step, ...]
    #: those that cost too much
    skipped: tuple[Skipped, ...]
    #: why the steps stand in this order, by channel
    reason: str


_UNKNOWN = Reach()


def choose(steps: Sequence[Step], costs: Sequence[float], person: Person) -> Choice:
    """costs: of each step, by the cheapest account of its lane."""
    each = list(zip(steps, costs, strict=True))
    budget = person.budget
    within = [one for one in each if budget is None or one[1] <= budget]
    skipped = tuple(
        Skipped(channel=step.channel, reason=f"costs {cost:g}, over the budget of {budget:g}")
        for step, cost in each
        if budget is not None and cost > budget
    )

    def merits(one: tuple[Step, float]) -> tuple[int, int, float]:
        step, cost = one
        share = person.reach.get(step.channel, _UNKNOWN).share
        return _wish(step, person), -round(share * _BANDS), cost

    order = tuple(step for step, _ in sorted(within, key=merits))
    return Choice(
        steps=order,
        skipped=skipped,
        reason="; ".join(f"{step.channel}: {_why(step, person)}" for step in order),
    )


def _wish(step: Step, person: Person) -> int:
    """The place of a step's channel among those that were asked for; behind them without one."""
    if step.channel in person.preferred:
        return list(person.preferred).index(step.channel)
    return len(person.preferred)


def _why(step: Step, person: Person) -> str:
    if step.channel in person.preferred:
        return "asked for"
    reach = person.reach.get(step.channel)
    if reach is None:
        return "not tried yet"
    return f"reached {reach.reached:.3g} of {reach.tries:.3g}"
