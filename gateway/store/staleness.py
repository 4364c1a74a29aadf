"""Which transitions must not be written: what each engine asks its database, and what follows.

A claim does not change a message's version, so rows that were free when a transition was decided
are looked at again: one that is being sent by now is neither dropped nor replaced.
"""

from collections.abc import Iterable, Iterator, Sequence

from gateway.model.case import Transition
from gateway.store.base import Staleness


def claims(transitions: Sequence[Transition]) -> list[tuple[object, ...]]:
    """(message, version, step, part, epoch) of each, as query `stale` takes it; the last three are
    None for a transition that ends no claim."""
    return [
        (one.message, one.version, guard.step, guard.part, guard.epoch)
        if (guard := one.guard) is not None
        else (one.message, one.version, None, None, None)
        for one in transitions
    ]


def others(transitions: Sequence[Transition]) -> list[tuple[str, int, int, int]]:
    """(message, step, part, place of the transition) of rows that are changed beside the claimed
    ones, as query `being_sent` takes it."""
    return [key for place, one in enumerate(transitions) for key in _others(one, place)]


def verdicts(
    transitions: Sequence[Transition],
    stale: Iterable[tuple[int, str]],
    being_sent: Iterable[int],
) -> list[Staleness | None]:
    """Why each must not be written. stale, being_sent: what the queries gave, by place. Of two
    transitions for one message the first wins; of a bundle all are written or none."""
    found: list[Staleness | None] = [None] * len(transitions)
    bundled = False
    for place, why in stale:
        found[place] = Staleness(why)
    for place in being_sent:
        found[place] = found[place] or Staleness.VERSION
    seen: set[str] = set()
    for place, one in enumerate(transitions):
        if one.message in seen:
            found[place] = found[place] or Staleness.VERSION
        seen.add(one.message)
        bundled = bundled or one.bundle != ""
    return found if not bundled else _whole(transitions, found)


def _whole(
    transitions: Sequence[Transition], found: Sequence[Staleness | None]
) -> list[Staleness | None]:
    """Where one of a bundle is stale, so are all."""
    pairs = list(zip(transitions, found, strict=True))
    torn = {one.bundle for one, why in pairs if why is not None} - {""}
    return [why or (Staleness.VERSION if one.bundle in torn else None) for one, why in pairs]


def _others(one: Transition, place: int) -> Iterator[tuple[str, int, int, int]]:
    own = (one.guard.step, one.guard.part) if one.guard is not None else None
    for step, part in {*one.drop, *((row.step, row.part) for row in one.put)}:
        if (step, part) != own:
            yield one.message, step, part, place
