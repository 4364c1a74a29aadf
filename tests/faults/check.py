"""The one checker of all invariants (reliability, "Invariants"): what the caller was told, what
reached the providers, and what is stored must agree once everything is healed and drained.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress

from gateway.model.state import (
    REPORTED,
    SUCCESSES,
    AttemptEvidence,
    Outcome,
    ReceiptEvidence,
    state_of,
)
from tests.faults import arrivals, client, counts, records
from tests.faults.bench import BURST, RATE, Bench, eventually
from tests.faults.nodes import Node
from tests.faults.records import Record
from tests.faults.traffic import PLANTED
from tests.faults.verdict import Verdict

_CODES = "SELECT provider, outcome, code, count(*) FROM attempt GROUP BY provider, outcome, code"

#: Other orders of the evidence that are tried for each message.
_ORDERS = 4

#: Of each kind of fault, how many are told.
_TOLD = 5

#: Files that a gateway may hold beside those that it starts with: connections to providers and
#: receivers, kept alive for a while, and from callers.
_FILES = 250


async def check(bench: Bench) -> Verdict:
    """After heal and drain, while the gateways still run."""
    verdict = Verdict(duplicated=_second_copies(bench.arrivals.copies))
    faults = _Collected()
    rows = await bench.database.rows(_CODES)
    verdict.codes = Counter({(row[0], row[1], row[2]): row[3] for row in rows})
    stored = await _stored(bench, verdict, faults)
    for kind, found in (
        ("caller", against_caller(stored, bench.client.log)),
        ("arrivals", strangers(set(stored.values()), bench.arrivals.copies)),
        ("limits", _limits(bench)),
        ("problems", planted("an error body", bench.client.log.problems)),
        ("logs", _logs(bench.nodes)),
        ("structure", await bench.database.faults()),
        ("queue", await _left(bench)),
        ("metrics", await _metrics(bench)),
        ("files", await _files(bench.running)),
    ):
        faults.add(kind, found)
    ids = set(stored.values())
    verdict.lost += len(set(bench.client.log.acknowledged.values()) - ids)
    verdict.broken = faults.told()
    return verdict


class _Collected:
    """Faults by kind, the first few of each."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._counts: Counter[str] = Counter()

    def add(self, kind: str, found: Iterable[str]) -> None:
        for one in found:
            self._counts[kind] += 1
            if self._counts[kind] <= _TOLD:
                self._first.append(f"{kind}: {one}")

    def told(self) -> list[str]:
        more = [f"{kind}: {n} in all" for kind, n in self._counts.items() if n > _TOLD]
        return self._first + more


async def _stored(bench: Bench, verdict: Verdict, faults: _Collected) -> dict[int, str]:
    """Ids by number; what is wrong with single messages is added on the way."""
    stored: dict[int, str] = {}
    reported: set[str] = set()
    async for one in records.read(bench.database):
        verdict.unknown += sum(try_.outcome is Outcome.UNKNOWN for try_ in one.attempts)
        faults.add("message", of_message(one))
        if one.is_report:
            reported.add(one.id) if one.state in SUCCESSES else None
            continue
        verdict.messages += 1
        verdict.states[one.state] += 1
        faults.add("copies", of_copies(one, bench.arrivals.copies))
        verdict.lost += _is_missing(one, bench.arrivals.copies)
        if one.number is None:
            faults.add("message", [f"{one.id} is none that was posted"])
        elif stored.setdefault(one.number, one.id) != one.id:
            faults.add("message", [f"number {one.number} is {stored[one.number]} and {one.id}"])
    missing = reported - set(bench.receiver.bodies)
    faults.add("webhooks", (f"report {id} counts as sent and never came" for id in missing))
    return stored


# Of one message


def of_message(one: Record) -> Iterator[str]:
    """It has ended, in the state that follows from its evidence in whatever order."""
    if one.state not in REPORTED:
        yield f"{one.id} has not ended: {one.state}"
    for attempts, receipts in _orders(one):
        state = state_of(attempts, receipts, ending=one.ending)
        if state is not one.state:
            yield f"{one.id} is {one.state}, its evidence amounts to {state}"
            return


def _orders(
    one: Record,
) -> Iterator[tuple[Sequence[AttemptEvidence], Sequence[ReceiptEvidence]]]:
    """The evidence as it is, and in other orders if there are any."""
    yield one.attempts, one.receipts
    if len(one.attempts) > 1 or len(one.receipts) > 1:
        chance = random.Random(one.id)
        for _ in range(_ORDERS):
            attempts = chance.sample(one.attempts, len(one.attempts))
            yield attempts, chance.sample(one.receipts, len(one.receipts))


def of_copies(one: Record, copies: Mapping[str, int]) -> Iterator[str]:
    """What reached the providers of it is what its attempts say, and no copy more."""
    places = {(try_.redrive, try_.step, try_.part) for try_ in one.attempts}
    places |= {(0, step, 0) for step in (0, 1)}
    for place in sorted(places):
        ours = [try_ for try_ in one.attempts if (try_.redrive, try_.step, try_.part) == place]
        outcomes = Counter(try_.outcome for try_ in ours)
        came = copies.get(reference(one.id, *place), 0)
        unknown = outcomes[Outcome.UNKNOWN]
        if came > 1 + unknown:
            yield f"{one.id} {place} came {came} times, {unknown} attempts are unknown"
        if came and not unknown + outcomes[Outcome.ACCEPTED]:
            yield f"{one.id} {place} came, no attempt says so"
        if came > 1 and one.on_unknown == "stop":
            yield f"{one.id} {place} came {came} times and must not come twice"
        if not came and outcomes[Outcome.ACCEPTED]:
            yield f"{one.id} {place} counts as accepted and never came"


def reference(id: str, redrive: int, step: int, part: int) -> str:
    return f"{id}-{redrive:x}-{step:x}-{part:x}"


def _is_missing(one: Record, copies: Mapping[str, int]) -> bool:
    if one.state not in SUCCESSES:
        return False
    return not any(
        reference(one.id, redrive, step, 0) in copies for redrive in (0, 1) for step in (0, 1)
    )


# Of all together


def against_caller(stored: Mapping[int, str], log: client.Log) -> Iterator[str]:
    yield from log.wrong
    for number, id in log.acknowledged.items():
        if stored.get(number) != id:
            yield f"number {number} was acknowledged as {id}, stored is {stored.get(number)}"
    for number in stored.keys() - log.acknowledged.keys() - log.unanswered:
        yield f"number {number} is stored and was refused"


def strangers(ids: Set[str], copies: Mapping[str, int]) -> Iterator[str]:
    for one in copies:
        if one[:36] not in ids:
            yield f"{one!r} reached a provider and was never accepted"


def _second_copies(copies: Mapping[str, int]) -> int:
    return sum(count - 1 for count in copies.values())


def _limits(bench: Bench) -> Iterator[str]:
    for account, dates in bench.arrivals.dates.items():
        excess = arrivals.worst_excess(dates.pairs, RATE, BURST)
        if excess > 0:
            yield f"{account} got {excess:.1f} more than its rate allows in some window"


def planted(where: str, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if found := PLANTED.search(text):
            yield f"{where} has {found.group()!r}"


def _logs(nodes: Iterable[Node]) -> Iterator[str]:
    for node in nodes:
        for log in node.logs:
            text = log.read_text(errors="replace")
            yield from planted(log.name, [text])
            if (at := text.find("Traceback")) >= 0:
                yield f"{log.name}: {_ends(text[max(0, at - 200) :])}"


def _ends(text: str, most: int = 4000) -> str:
    """A traceback says where at its beginning, and what at its end."""
    return text if len(text) <= most else f"{text[: most // 4]}\n…\n{text[-most * 3 // 4 :]}"


async def _left(bench: Bench) -> list[str]:
    rows = await bench.database.rows("SELECT lane, owner, due_ms FROM queue LIMIT 3")
    return [f"queue row {row} is left" for row in rows]


async def _metrics(bench: Bench) -> list[str]:
    found: list[str] = []

    async def agree() -> bool:
        texts = await asyncio.gather(*(node.metrics() for node in bench.running))
        after = await counts.now(bench.database, reports=bench.reports)
        found[:] = counts.faults(
            counts.Samples(texts),
            bench.before,
            after,
            has_gaps=bench.has_gaps,
            doubtful=bench.client.log.doubtful,
        )
        found.extend(planted("a metric", _names(texts)))
        return not found

    with suppress(AssertionError):  # a result is counted an instant before or after it is stored
        await eventually(agree, patience=3.0)
    return found


def _names(texts: Iterable[str]) -> Iterator[str]:
    """Lines of metrics without their values, whose digits may be anything."""
    return (line.rpartition(" ")[0] for text in texts for line in text.splitlines())


async def _files(nodes: Iterable[Node]) -> list[str]:
    return [
        f"{node.name} has {node.open_files()} files open, {node.files} at its start"
        for node in nodes
        if node.open_files() > node.files + _FILES
    ]
