"""What the database counts that the metrics count as well, and the comparison."""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.database import Database

#: Written off by the next process, so nobody counted it as an answer.
_ATTEMPTS = """SELECT provider, outcome, count(*) FROM attempt WHERE code <> 'process_died'
    GROUP BY provider, outcome"""
_ACCEPTED = "SELECT category, count(*) FROM message WHERE NOT internal GROUP BY category"
_REPORTS = "SELECT body FROM message WHERE internal"
_STATES = """SELECT m.category, s.state, count(*) FROM message m JOIN status s ON s.message = m.id
    WHERE NOT m.internal GROUP BY m.category, s.state"""

_ATTEMPTED = "gateway_attempts_total"
_ACCEPTANCES = "gateway_messages_accepted_total"

#: Lines of the metrics that are compared, or begin them.
_OURS = re.compile(
    r"(?:# TYPE )?gateway_(?:attempts|stale_results|messages_accepted|messages_entered|in_flight)"
    r"(?:_total)?[ {]"
)

#: Category of reports, on which there are no reports.
_REPORT = "webhook"


#: Runs a query.
Rows = Callable[[str], Awaitable[list[tuple[Any, ...]]]]


@dataclass(slots=True)
class Counts:
    """Counts by the metric's labels."""

    attempts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    accepted: Counter[tuple[str, ...]] = field(default_factory=Counter)
    #: messages by category and reported state, each with one report to its tenant
    entered: Counter[tuple[str, ...]] = field(default_factory=Counter)


async def now(database: Database, *, reports: bool) -> Counts:
    """reports: whether tenants are told of states, and so the database tells of those before."""
    return await _read(database.rows, reports=reports)


async def at_rest(database: Database, *, reports: bool) -> Counts:
    """The same while no gateway runs."""
    return await _read(database.rows_at_rest, reports=reports)


async def _read(rows: Rows, *, reports: bool) -> Counts:
    if reports:
        entered = Counter(_report(str(row[0])) for row in await rows(_REPORTS))
    else:
        entered = _counter(await rows(_STATES))
    return Counts(
        attempts=_counter(await rows(_ATTEMPTS)),
        accepted=_counter(await rows(_ACCEPTED)),
        entered=entered,
    )


def _counter(rows: Iterable[Sequence[object]]) -> Counter[tuple[str, ...]]:
    return Counter({tuple(map(str, row[:-1])): int(str(row[-1])) for row in rows})


def _report(body: str) -> tuple[str, ...]:
    """(category, state) that a webhook of ours tells."""
    data = json.loads(json.loads(body)["content"]["text"])["data"]
    return str(data["category"]), str(data["state"])


class Samples:
    """The sum of what several processes expose."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._samples: dict[str, Counter[tuple[str, ...]]] = {}
        for text in texts:
            ours = [line for line in text.splitlines() if _OURS.match(line)]
            for family in text_string_to_metric_families("\n".join(ours)):
                for sample in family.samples:
                    labels = tuple(value for _, value in sorted(sample.labels.items()))
                    self._samples.setdefault(sample.name, Counter())[labels] += int(sample.value)

    def of(self, name: str) -> Counter[tuple[str, ...]]:
        """By the values of the labels, these in the order of their names."""
        return Counter({key: n for key, n in self._samples.get(name, Counter()).items() if n})


def faults(
    samples: Samples, before: Counts, after: Counts, *, has_gaps: bool, doubtful: int = 0
) -> Iterator[str]:
    """Where metrics and database differ.

    before: when the first of the processes started. has_gaps: the metrics of some are lost.
    doubtful: messages whose commit may have been lost sight of: stored perhaps, accepted never.
    """
    stale = samples.of("gateway_stale_results_total")
    attempts, shown = after.attempts - before.attempts, samples.of(_ATTEMPTED)
    if stale:  # they became receipts, and of which result they were is not told
        attempts, shown = _by_provider(attempts), _by_provider(shown) - stale
    entered = samples.of("gateway_messages_entered_total")
    accepted, stored_new = samples.of(_ACCEPTANCES), after.accepted - before.accepted
    if accepted <= stored_new and (stored_new - accepted).total() <= doubtful:
        accepted = stored_new
    pairs = [
        (_ATTEMPTED, shown, attempts),
        (_ACCEPTANCES, accepted, stored_new),
        (
            "gateway_messages_entered_total",
            Counter({key: n for key, n in entered.items() if key[0] != _REPORT}),
            after.entered - before.entered,
        ),
    ]
    for name, seen, stored in pairs:
        if not (seen <= stored if has_gaps else seen == stored):
            yield f"{name}: shown {dict(seen - stored)} more, stored {dict(stored - seen)} more"
    if under_way := samples.of("gateway_in_flight"):
        yield f"gateway_in_flight: {dict(under_way)}"


def _by_provider(counts: Counter[tuple[str, ...]]) -> Counter[tuple[str, ...]]:
    total: Counter[tuple[str, ...]] = Counter()
    for key, count in counts.items():
        total[key[:1]] += count
    return total
