"""What next after a result: one pure function, `next_move`.

It sees one attempt of one part and says what becomes of that part; what this means for the rest
of the message (other parts, later steps) is `change`'s to work out.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias, assert_never

from gateway.model import wire
from gateway.model.message import OnUnknown
from gateway.model.state import State
from gateway.model.values import Value, replace


class RetryRules(Value):
    """How often and how fast to repeat; times in seconds."""

    attempts: int = 5
    base: float = 1.0
    factor: float = 4.0
    cap: float = 600.0
    #: fixed delays in place of back-off, for webhooks; attempts are then one more than these
    schedule: tuple[float, ...] = ()

    @property
    def limit(self) -> int:
        return len(self.schedule) + 1 if self.schedule else self.attempts


class Situation(Value):
    """What `next_move` may know. Times are UTC epoch milliseconds."""

    #: how far the step must get
    until: State
    on_unknown: OnUnknown
    #: tries that count, this one included
    attempts: int
    provider: str
    #: accounts of the lane, in order of preference
    providers: Sequence[str]
    #: accounts that have had this part before
    tried: frozenset[str]
    now_ms: int
    expires_ms: int


class Done(Value, kw_only=False):
    """The step has got as far as it must: nothing else is to be started."""


class Await(Value, kw_only=False):
    """Taken; receipts or the time limit decide the rest."""


class Retry(Value):
    """The same step again."""

    due_ms: int
    #: '' or the account that shall have it
    pin: str = ""
    #: whether the try that was made counts against the limit
    counts: bool = True


class GiveUp(Value):
    """This part will not make it: the next step is due, if no other part can."""

    #: only because there is no time left for another try
    late: bool = False


class Stop(Value, kw_only=False):
    """Nobody knows whether it arrived, and it must not arrive twice."""


Move: TypeAlias = Done | Await | Retry | GiveUp | Stop


def next_move(
    result: wire.AttemptResult,
    situation: Situation,
    rules: RetryRules,
    random: Callable[[], float],
) -> Move:
    """What becomes of a part after one attempt. random: uniform in [0, 1)."""
    match result:
        case wire.Accepted():
            return Done() if situation.until is State.SENT else Await()
        case wire.Rejected(scope=wire.Scope.PROVIDER):
            return _elsewhere(situation) or GiveUp()
        case wire.Rejected():
            return GiveUp()
        case wire.Deferred(cause=wire.Cause.THROTTLED | wire.Cause.CREDENTIAL):
            # the account is paused, so this does not spin; whoever is able may have it
            return Retry(due_ms=situation.now_ms, counts=False)
        case wire.Deferred(held=True):
            later = _later(result.retry_after or 0.0, situation)
            return replace(later, counts=False) if isinstance(later, Retry) else later
        case wire.Deferred():
            return _after_deferral(result, situation, rules, random)
        case wire.Unknown():
            return after_unknown(situation, rules, random)
        case _:
            assert_never(result)


def _after_deferral(
    result: wire.Deferred, situation: Situation, rules: RetryRules, random: Callable[[], float]
) -> Move:
    if situation.attempts >= rules.limit:
        return GiveUp()
    providers_trouble = result.cause in (wire.Cause.CONNECT, wire.Cause.TEMPORARY)
    if providers_trouble and (other := _elsewhere(situation)):
        return other
    wait = max(_back_off(situation.attempts, rules, random), result.retry_after or 0.0)
    return _later(wait, situation)


def after_unknown(situation: Situation, rules: RetryRules, random: Callable[[], float]) -> Move:
    """What becomes of a part whose attempt left no answer, or whose process died."""
    match situation.on_unknown:
        case OnUnknown.STOP:
            return Stop()
        case OnUnknown.FALLBACK:
            return GiveUp()
        case OnUnknown.RESEND:
            if situation.attempts >= rules.limit:
                return GiveUp()
            # the same account, which may know the reference and drop the second copy
            wait = _back_off(situation.attempts, rules, random)
            return _later(wait, situation, pin=situation.provider)
        case _:
            assert_never(situation.on_unknown)


def pass_on(
    accounts: Sequence[str], situation: Situation, rules: RetryRules, random: Callable[[], float]
) -> Retry | GiveUp:
    """What becomes of a part that the account must not send, and these may. There was no try, so
    none counts; who has had it before gets it after a pause."""
    if not accounts or situation.attempts > rules.limit:
        return GiveUp()
    fresh = [one for one in accounts if one not in situation.tried]
    if fresh:
        return Retry(due_ms=situation.now_ms, pin=fresh[0], counts=False)
    later = _later(_back_off(situation.attempts, rules, random), situation, pin=accounts[0])
    return replace(later, counts=False) if isinstance(later, Retry) else later


def _elsewhere(situation: Situation) -> Retry | None:
    """At once by the next account of the lane that has not had it."""
    for provider in situation.providers:
        if provider != situation.provider and provider not in situation.tried:
            return Retry(due_ms=situation.now_ms, pin=provider)
    return None


def _later(wait: float, situation: Situation, pin: str = "") -> Retry | GiveUp:
    due_ms = situation.now_ms + int(wait * 1000)
    return Retry(due_ms=due_ms, pin=pin) if due_ms < situation.expires_ms else GiveUp(late=True)


def _back_off(attempts: int, rules: RetryRules, random: Callable[[], float]) -> float:
    """Seconds; full jitter on a growing ceiling, or the schedule with a tenth either way."""
    if rules.schedule:
        return rules.schedule[min(attempts, len(rules.schedule)) - 1] * (0.9 + 0.2 * random())
    return min(rules.cap, rules.base * rules.factor ** (attempts - 1)) * random()
