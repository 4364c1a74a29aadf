"""More than usual: a burst, a backlog, one key from everywhere; and a process that stands still."""

import asyncio
import itertools
import random
import signal
from collections.abc import Iterable, Sequence

import aiohttp

from tests.faults.bench import BURST, RATE
from tests.faults.kills import kill, start
from tests.faults.trial import Arrived, Case, Form, Moment, Posted, Seconds, Trial
from tests.faults.verdict import Verdict

#: Requests with one key at once.
_AT_ONCE = 500

#: Messages in a batch of many, and batches under way.
_BATCH, _BATCHES = 250, 4

#: What a gateway may grow to, whatever waits on disk.
_MOST_MEMORY = 500 * 2**20


# A burst


def _burst(chance: random.Random, form: Form) -> Sequence[Moment]:
    """Ten times the rate, for a while, and crashes in the middle of it."""
    seconds = 0.1 if form is Form.SHORT else 5.0

    async def flood(trial: Trial) -> None:
        await _post_many(trial, int(10 * RATE * seconds))

    moments = [Moment(Posted(1), f"ten times the rate for {seconds:g} s", flood)]
    for _ in range(1 if form is Form.SHORT else 5):
        enough = Arrived(int(BURST) + chance.randrange(10, 60))
        moments += [Moment(enough, "kill -9", kill), Moment(Seconds(0.0), "start again", start)]
    return moments


async def _post_many(trial: Trial, count: int) -> None:
    client = trial.bench.client
    numbers = client.next_numbers(count)
    batches = iter([numbers[at : at + _BATCH] for at in range(0, count, _BATCH)])

    async def post() -> None:
        for batch in batches:
            await client.post(batch)

    await asyncio.gather(*(post() for _ in range(_BATCHES)))


def _had_to_wait(trial: Trial, verdict: Verdict) -> Iterable[str]:
    if verdict.messages < 5 * BURST:
        yield f"{verdict.messages} messages are no burst"


# A backlog


def _backlog(chance: random.Random, form: Form) -> Sequence[Moment]:
    count = 300 if form is Form.SHORT else 1_000_000

    async def pile_up(trial: Trial) -> None:
        for simulator in trial.bench.providers:
            simulator.knobs.turn({"receipt": None})
        await trial.bench.acme_wire.refuse()
        await _post_many(trial, count)

    async def listen(trial: Trial) -> None:
        await trial.bench.acme_wire.open()

    return [
        Moment(Posted(1), f"{count:,} messages for a provider that refuses", pile_up),
        Moment(Seconds(0.0), "it listens again", listen),
    ]


def _stayed_small(trial: Trial, verdict: Verdict) -> Iterable[str]:
    for node in trial.bench.running:
        if (peak := node.peak_bytes()) > _MOST_MEMORY:
            yield f"{node.name} took {peak / 2**20:.0f} MiB"


# One key


def _one_key(chance: random.Random, form: Form) -> Sequence[Moment]:
    return [
        Moment(Posted(1), f"{_AT_ONCE} posts of one key", _post_one)
        for _ in range(1 if form is Form.SHORT else 20)
    ]


async def _post_one(trial: Trial) -> None:
    client = trial.bench.client
    numbers = client.next_numbers(1)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client.post(numbers, session) for _ in range(_AT_ONCE)))


def _all_were_answered(trial: Trial, verdict: Verdict) -> Iterable[str]:
    for numbers, entries in itertools.groupby(trial.entries, key=lambda entry: entry.numbers):
        answers = [entry.status for entry in entries]
        if len(answers) >= _AT_ONCE and set(answers) != {202}:
            yield f"posts of {numbers} were answered {set(answers)}"


# A process that stands still


def _standstill(chance: random.Random, form: Form) -> Sequence[Moment]:
    """Longer than any timeout of what it has under way."""

    async def stop(trial: Trial) -> None:
        trial.bench.acme.knobs.turn({"latency": 0.2})
        trial.bench.nodes[0].signal(signal.SIGSTOP)

    async def go_on(trial: Trial) -> None:
        assert trial.bench.nodes[0].is_stopped(), "it did not stand still"
        trial.bench.nodes[0].signal(signal.SIGCONT)
        trial.bench.acme.knobs.turn({"latency": 0.0})

    moments = []
    for _ in range(1 if form is Form.SHORT else 10):
        seconds = 1.0 if form is Form.SHORT else chance.uniform(1.0, 12.0)
        moments.append(Moment(Arrived(chance.randrange(5, 30)), "SIGSTOP", stop))
        moments.append(Moment(Seconds(seconds), "SIGCONT", go_on))
    return moments


CASES = (
    Case(
        name="burst",
        what="ten times the rate of an account, and crashes",
        plan=_burst,
        mix={"metered": 1},
        rate=20.0,
        struck=_had_to_wait,
    ),
    Case(
        name="backlog",
        what="messages pile up and are worked off",
        plan=_backlog,
        mix={"solo": 1},
        rate=10.0,
        changes={"tenants": {"shop": {"webhook": None}}},
        changed=frozenset({Form.LONG}),
        reports=False,
        struck=_stayed_small,
        patience=720.0,
    ),
    Case(
        name="one-key",
        what="500 concurrent posts of one key",
        plan=_one_key,
        rate=20.0,
        struck=_all_were_answered,
    ),
    Case(
        name="standstill",
        what="SIGSTOP, then SIGCONT",
        plan=_standstill,
    ),
)
