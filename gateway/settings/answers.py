"""What lanes answer to the wishes of recipients: checks."""

from collections.abc import Collection, Iterator, Mapping

from gateway.settings.faults import Fault, KeyPath, unknown
from gateway.settings.routing import Category, Lane


def answer_faults(
    lanes: Mapping[str, Lane], categories: Mapping[str, Category], known: Collection[str]
) -> Iterator[Fault]:
    """known: the names of all categories, also of those that are wrong."""
    for name, lane in lanes.items():
        answers = lane.sms.answers
        path: KeyPath = ("lanes", name, "sms", "answers", "category")
        category = categories.get(answers.category)
        if not answers.category:
            if answers.stop or answers.start or answers.help:
                yield Fault(path, "is missing")
        elif answers.category not in known:
            yield Fault(path, unknown("category", answers.category, known))
        elif category is not None and (category.unsubscribe or category.consent):
            yield Fault(path, f'"{answers.category}" can be refused, and is by who writes STOP')
        elif not (answers.stop or answers.start or answers.help):
            yield Fault(path, "means nothing without stop, start or help")
