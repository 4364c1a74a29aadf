"""Providers that refuse, break, stall or flood; relays that go away in mid-mail."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from gateway.sandbox.magic import Fate
from tests.faults import wire
from tests.faults.traffic import MIX
from tests.faults.trial import (
    Action,
    Case,
    Form,
    Moment,
    Plan,
    Posted,
    Seconds,
    Shown,
    Trial,
    wait,
)
from tests.faults.verdict import Verdict

#: More mail than usual, for faults of the relay.
_MAILS = {**MIX, "mail": 12}

#: Bytes of an answer that nobody should read to its end.
_FLOOD = 2**30

#: How long trouble goes on after it has shown, in seconds.
_SHORTLY = 0.05

#: What a gateway may grow to, whatever it is answered.
_MOST_MEMORY = 400 * 2**20


def _plan(break_: Action, heal: Action, shows: Shown) -> Plan:
    """Trouble until it shows, once, or many times over and for longer."""

    def plan(chance: random.Random, form: Form) -> Sequence[Moment]:
        moments = []
        for _ in range(1 if form is Form.SHORT else 8):
            moments += [
                Moment(Posted(chance.randrange(5, 25)), "trouble", break_),
                Moment(shows, "it shows", wait),
                Moment(Seconds(_SHORTLY if form is Form.SHORT else chance.uniform(1, 5)), "", heal),
            ]
        return moments

    return plan


def _of_acme(make: Callable[[], wire.Fault]) -> Action:
    async def do(trial: Trial) -> None:
        trial.bench.acme_wire.fault = make()

    return do


def _of_relay(make: Callable[[], wire.Fault]) -> Action:
    async def do(trial: Trial) -> None:
        trial.bench.relay_wire.fault = make()

    return do


def _of_chunks(make: Callable[[], wire.Fault]) -> Action:
    """The same by a relay that takes whole mails in one write (RFC 3030)."""

    async def do(trial: Trial) -> None:
        relay = trial.bench.relay
        relay.settings = replace(relay.settings, chunking=True)
        trial.bench.relay_wire.fault = make()

    return do


async def _heal(trial: Trial) -> None:
    trial.bench.acme_wire.heal()
    trial.bench.relay_wire.heal()


async def _refuse(trial: Trial) -> None:
    await trial.bench.acme_wire.refuse()


async def _listen(trial: Trial) -> None:
    await trial.bench.acme_wire.open()


def answers(error: Fate, retry_after: float | None = None) -> Action:
    async def do(trial: Trial) -> None:
        changes = {"error": error, "error_rate": 0.8, "retry_after": retry_after}
        trial.bench.acme.knobs.turn(changes)

    return do


async def answers_well(trial: Trial) -> None:
    trial.bench.acme.knobs.turn({"error_rate": 0.0})


def _stays_small(trial: Trial, verdict: Verdict) -> Iterable[str]:
    for node in trial.bench.running:
        if (peak := node.peak_bytes()) > _MOST_MEMORY:
            yield f"{node.name} took {peak / 2**20:.0f} MiB"


def _case(
    name: str,
    what: str,
    break_: Action,
    shows: Shown,
    *,
    heal: Action = _heal,
    mix: Mapping[str, int] = MIX,
) -> Case:
    plan = _plan(break_, heal, shows)
    return Case(name=name, what=what, plan=plan, mix=mix, struck=_stays_small)


def _knobs(name: str, what: str, break_: Action, code: str) -> Case:
    return _case(name, what, break_, Shown("acme", "deferred", code, 3), heal=answers_well)


def _http(name: str, what: str, make: Callable[[], wire.Fault], code: str) -> Case:
    return _case(name, what, _of_acme(make), Shown("acme", "unknown", code, 3))


def _smtp(name: str, what: str, make: Callable[[], wire.Fault], outcome: str, code: str) -> Case:
    return _case(name, what, _of_relay(make), Shown("relay", outcome, code, 3), mix=_MAILS)


def _chunks(name: str, what: str, make: Callable[[], wire.Fault]) -> Case:
    return _case(name, what, _of_chunks(make), Shown("relay", "unknown", "", 3), mix=_MAILS)


#: Accounts give up on an answer after 0.3 s, but for that to the dot.
_LATE = 0.45

CASES = (
    _knobs("http-5xx", "answers 503", answers(Fate.TEMPORARY), "http_503"),
    _knobs("http-429", "answers 429", answers(Fate.THROTTLED), "http_429"),
    _knobs("http-429-later", "answers 429, Retry-After", answers(Fate.THROTTLED, 1), "http_429"),
    _case(
        "http-refused",
        "connect refused",
        _refuse,
        Shown("acme", "deferred", "connect refused"),
        heal=_listen,
    ),
    _http("http-reset", "RST for an answer", wire.ResetAnswer, "disconnected"),
    _http("http-reset-request", "RST for a request", wire.Reset, "disconnected"),
    _http("http-silent", "accepts, never answers", wire.Swallow, "timeout"),
    _http("http-mute", "takes it, never answers", wire.Mute, "timeout"),
    _http("http-drip", "answers a byte a second", lambda: wire.Drip(1.0), "timeout"),
    _http("http-flood", "answers 1 GB", lambda: wire.Flood(_FLOOD), "answer too large"),
    _http("http-late", "answers after the timeout", lambda: wire.Late(_LATE), "timeout"),
    _smtp("smtp-lost", "gone at the dot, not stored", wire.DotNotStored, "unknown", ""),
    _smtp("smtp-stored", "gone at the dot, stored", wire.DotStored, "unknown", ""),
    _smtp("smtp-late", "late 250", lambda: wire.LateDot(2 * _LATE), "accepted", ""),
    _smtp("smtp-421", "421 at DATA", wire.ClosingAtData, "deferred", "421"),
    _chunks("smtp-chunk-lost", "gone at the chunk, not stored", wire.DotNotStored),
    _chunks("smtp-chunk-stored", "gone at the chunk, perhaps stored", wire.DotStored),
    _smtp("smtp-endless", "endless reply", wire.EndlessReply, "unknown", "reply too long"),
)
