"""A fleet whose database is restarted, loses connections or has none left, and nodes that die or
stand still for longer than their lease.
"""

import asyncio
import random
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress

import asyncpg

from tests.faults.database import CONNECTIONS, Postgres
from tests.faults.nodes import Node
from tests.faults.traffic import MIX
from tests.faults.trial import Action, Case, Form, Moment, Plan, Posted, Seconds, Shown, Trial, wait
from tests.faults.verdict import Verdict

#: The account with a rate gets more than it can send, from all nodes at once.
_MIX = {**MIX, "metered": 12}

_TERMINATE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'gateway'"""


def _database(trial: Trial) -> Postgres:
    assert isinstance(trial.bench.database, Postgres)
    return trial.bench.database


# The server


def _restarts(chance: random.Random, form: Form) -> Sequence[Moment]:
    moments = []
    for _ in range(1 if form is Form.SHORT else 10):
        moments += [
            Moment(Posted(chance.randrange(10, 40)), "the server is gone at once", _crash),
            Moment(Posted(chance.randrange(5, 30)), "it is back", _come_back),
        ]
    return moments


async def _crash(trial: Trial) -> None:
    await asyncio.to_thread(_database(trial).server.stop, signal.SIGQUIT)


async def _come_back(trial: Trial) -> None:
    await asyncio.to_thread(_database(trial).server.start)


def _terminations(chance: random.Random, form: Form) -> Sequence[Moment]:
    """Twice a second."""
    first = Moment(Posted(chance.randrange(10, 30)), "every connection is ended", _terminate)
    again = Moment(Seconds(0.5), "every connection is ended", _terminate)
    return [first, *[again] * (1 if form is Form.SHORT else 60)]


async def _terminate(trial: Trial) -> None:
    await _database(trial).rows(_TERMINATE)


def _shortages(chance: random.Random, form: Form) -> Sequence[Moment]:
    moments = []
    for _ in range(1 if form is Form.SHORT else 8):
        seconds = 0.5 if form is Form.SHORT else chance.uniform(1.0, 12.0)
        moments += [
            Moment(Posted(chance.randrange(10, 40)), "all connections are taken", _take_all),
            Moment(Seconds(seconds), "they are given back", _give_back),
        ]
    return moments


async def _take_all(trial: Trial) -> None:
    """Ours as soon as the gateways have lost theirs."""
    taken: list[asyncpg.Connection[asyncpg.Record]] = trial.notes.setdefault("taken", [])
    url = trial.bench.database.url
    first = await asyncpg.connect(url)
    taken.append(first)
    while len(taken) < CONNECTIONS - 2:
        await first.execute(_TERMINATE)
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                taken.append(await asyncpg.connect(url))
    trial.note(f"{len(taken)} connections are taken")


async def _give_back(trial: Trial) -> None:
    for connection in trial.notes.pop("taken"):
        await connection.close()


def _all_at_once(chance: random.Random, form: Form) -> Sequence[Moment]:
    """One of each, without a rest between them."""
    return [
        moment for plan in (_restarts, _terminations, _shortages) for moment in plan(chance, form)
    ]


def _noticed(trial: Trial, verdict: Verdict) -> Iterable[str]:
    """Somebody was refused, or got no answer, or waited: the log says what the store was."""
    logs = (log.read_text(errors="replace") for node in trial.bench.nodes for log in node.logs)
    if not any("store" in log and "reason=" in log for log in logs):
        yield "no gateway noticed"
    if trial.codes:
        yield f"gateways ended: {trial.codes}"


# Nodes


def _losses(chance: random.Random, form: Form) -> Sequence[Moment]:
    """One stands still past its lease and one dies; others take over, then both come back."""
    moments = []
    for _ in range(1 if form is Form.SHORT else 6):
        moments += [
            Moment(Posted(chance.randrange(10, 40)), "slow answers", _slow(0.2)),
            Moment(Posted(20), "n2 stands still, n3 is killed", _lose),
            Moment(Shown("%", "unknown", "process_died"), "others took over", wait),
            Moment(Seconds(0.0), "n2 goes on, n3 is started", _regain),
            Moment(Posted(10), "fast answers", _slow(0.0)),
        ]
    return moments


def _slow(seconds: float) -> Action:
    async def do(trial: Trial) -> None:
        for simulator in trial.bench.providers:
            simulator.knobs.turn({"latency": seconds})

    return do


def _second_and_third(trial: Trial) -> tuple[Node, Node]:
    _, second, third = trial.bench.nodes
    return second, third


async def _lose(trial: Trial) -> None:
    second, third = _second_and_third(trial)
    trial.bench.avoided.add(second)
    second.signal(signal.SIGSTOP)
    await trial.bench.kill(third)


async def _regain(trial: Trial) -> None:
    second, third = _second_and_third(trial)
    second.signal(signal.SIGCONT)
    trial.bench.avoided.clear()
    await trial.bench.start(third)


def _one_died(trial: Trial, verdict: Verdict) -> Iterable[str]:
    if set(trial.codes) != {-signal.SIGKILL}:
        yield f"gateways ended: {trial.codes}"


def _case(name: str, what: str, plan: Plan, *forms: Form) -> Case:
    return Case(
        name=name,
        what=what,
        plan=plan,
        engine="postgres",
        nodes=3,
        mix=_MIX,
        struck=_one_died if plan is _losses else _noticed,
        forms=frozenset(forms),
    )


CASES = (
    _case("pg-restart", "PostgreSQL restarts at once", _restarts, Form.LONG),
    _case("pg-terminate", "connections are ended twice a second", _terminations, Form.LONG),
    _case("pg-connections", "all connections are taken", _shortages, Form.LONG),
    _case("pg-server", "one of each of these", _all_at_once, Form.SHORT),
    _case(
        "pg-nodes",
        "a node stands still past its lease, one is killed",
        _losses,
        Form.SHORT,
        Form.LONG,
    ),
)
