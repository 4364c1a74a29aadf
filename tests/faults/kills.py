"""The process dies: at random, while a commit is on its way, and with its n-th fsync."""

import random
import signal
from collections.abc import Iterable, Sequence

from tests.faults.trial import Arrived, Case, Form, Grown, Moment, Posted, Trial
from tests.faults.verdict import Verdict

#: A page of the log, with its header (https://sqlite.org/fileformat2.html#walformat).
_FRAME = 4096 + 24


async def kill(trial: Trial) -> None:
    await trial.bench.kill()


async def start(trial: Trial) -> None:
    await trial.bench.start()


def _at_random(chance: random.Random, form: Form) -> Sequence[Moment]:
    moments = []
    for _ in range(1 if form is Form.SHORT else 40):
        moments.append(Moment(Arrived(chance.randrange(1, 80)), "kill -9", kill))
        moments.append(Moment(Posted(chance.randrange(5, 30)), "start again", start))
    return moments


def _while_committing(chance: random.Random, form: Form) -> Sequence[Moment]:
    moments = []
    for _ in range(2 if form is Form.SHORT else 40):
        growth = Grown(chance.randrange(5, 200) * _FRAME + chance.randrange(1, _FRAME))
        moments.append(Moment(growth, "kill -9", kill))
        moments.append(Moment(Posted(chance.randrange(5, 30)), "start again", start))
    return moments


def was_killed(trial: Trial, verdict: Verdict) -> Iterable[str]:
    if set(trial.codes) != {-signal.SIGKILL}:
        yield f"exit codes {trial.codes}"
    if all(entry.status is not None for entry in trial.entries):
        yield "no request was cut off"


CASES = (
    Case(
        name="kill",
        what="kill -9 at random",
        plan=_at_random,
        struck=was_killed,
    ),
    Case(
        name="kill-commit",
        what="kill -9 while the log grows by a commit",
        plan=_while_committing,
        struck=was_killed,
    ),
)
