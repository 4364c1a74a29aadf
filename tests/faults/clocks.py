"""Clocks that are set an hour forward or back while messages are on their way."""

import random
from collections.abc import Iterable, Sequence

from gateway.model.state import State
from gateway.sandbox.magic import Fate
from tests.faults.inside import InsideNode
from tests.faults.providers import answers, answers_well
from tests.faults.trial import Action, Arrived, Case, Form, Moment, Posted, Shown, Trial
from tests.faults.verdict import Verdict

_HOUR = 3600.0

#: Attempts that are to be repeated when the clock is set.
_DEFERRED = Shown("acme", "deferred", "http_503", 3)


def _steps(chance: random.Random, form: Form) -> Sequence[Moment]:
    """The wall clock is set with retries and reports pending on either side of each step."""
    moments = [Moment(Posted(1), "receivers trust us", _trust)]
    for _ in range(1 if form is Form.SHORT else 8):
        hours = [1, -1, 0] if form is Form.SHORT else [1, 0, -1, 0]
        chance.shuffle(hours)
        for at, ahead in enumerate(hours):
            trouble = answers(Fate.TEMPORARY) if at % 2 else answers_well
            moments += [
                Moment(Posted(chance.randrange(10, 30)), "", trouble),
                Moment(_DEFERRED if at % 2 else Arrived(5), f"clock {ahead:+d} h", _set(ahead)),
            ]
    # What was put off while the clock was ahead is due once that time has come.
    moments.append(Moment(Posted(10), "answers well", answers_well))
    moments.append(Moment(Posted(10), "an hour has passed", _set(1)))
    return moments


async def _trust(trial: Trial) -> None:
    """Signatures are dated, so a receiver whose clock is right would refuse all of ours."""
    trial.bench.receiver.secrets = ()


def _set(hours: float) -> Action:
    async def do(trial: Trial) -> None:
        node = trial.bench.nodes[0]
        assert isinstance(node, InsideNode)
        node.clock.ahead = hours * _HOUR

    return do


def _none_expired(trial: Trial, verdict: Verdict) -> Iterable[str]:
    """A day of life is more than an hour."""
    if verdict.states[State.EXPIRED]:
        yield f"{verdict.states}"


CASES = (
    Case(
        name="clock",
        what="the clock is set by an hour, to and fro",
        plan=_steps,
        node=InsideNode,
        struck=_none_expired,
    ),
)
