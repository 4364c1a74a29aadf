"""Categories that give way to others: checks, and what must be counted for them."""

from collections.abc import Collection, Iterator, Mapping

from gateway.settings.faults import Fault, KeyPath, unknown
from gateway.settings.routing import Category


def yielded_to(categories: Mapping[str, Category]) -> Mapping[str, float]:
    """By category to which others yield: for how long the most patient of them does."""
    longest: dict[str, float] = {}
    for category in categories.values():
        for other in category.yields_to:
            longest[other] = max(category.yields_for, longest.get(other, 0.0))
    return longest


def yield_faults(categories: Mapping[str, Category], known: Collection[str]) -> Iterator[Fault]:
    """known: the names of all categories, also of those that are wrong."""
    for name, category in categories.items():
        path: KeyPath = ("categories", name, "yields_to")
        for place, other in enumerate(category.yields_to):
            where = (*path, place)
            if other not in known:
                yield Fault(where, unknown("category", other, known))
            elif other == name:
                yield Fault(where, "it cannot yield to itself")
            elif other in category.yields_to[:place]:
                yield Fault(where, f'"{other}" stands here twice')
            elif name in _above(other, categories):
                yield Fault(where, f'"{other}" itself yields to "{name}", or to one that does')
        if not category.yields_to and "yields_for" in category.model_fields_set:
            yield Fault((*path[:-1], "yields_for"), "means nothing without yields_to")


def _above(name: str, categories: Mapping[str, Category]) -> Collection[str]:
    """All to which it yields, by way of others too."""
    found: set[str] = set()
    left = [name]
    while left:
        category = categories.get(left.pop())
        new = set(category.yields_to if category else ()) - found
        found |= new
        left += new
    return found
