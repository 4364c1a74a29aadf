"""What the answers to calls say of a provider account: its breaker, its pauses, and how it compares
with others of its lane.
"""

import logging
from collections import Counter
from collections.abc import Sequence

from gateway.clock import Clock
from gateway.dispatch.results import OUTCOMES
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model import wire

_log = logging.getLogger(__name__)

#: How long an account whose credential is refused is left alone, in seconds.
_CREDENTIAL_PAUSE = 30.0


class Standing:
    """Of one account."""

    def __init__(self, account: Account, name: str, clock: Clock, metrics: Metrics) -> None:
        self._account = account
        self._name = name
        self._clock = clock
        self._credential_refusals = metrics.credential_refusals.labels(name)

    def note(self, results: Sequence[wire.AttemptResult], started_ms: int) -> None:
        """A call has been answered so, which began then (UTC epoch milliseconds)."""
        self._tally(results)
        self._heed(_verdict(results))
        if self._account.merit is not None:
            self._compare(results, (self._clock.now_ms() - started_ms) / 1000)

    def _tally(self, results: Sequence[wire.AttemptResult]) -> None:
        now = self._clock.monotonic()
        if len(results) == 1:
            self._account.tally.add(OUTCOMES[type(results[0])], now)
        else:
            for outcome, times in Counter([OUTCOMES[type(one)] for one in results]).items():
                self._account.tally.add(outcome, now, times)

    def _compare(self, results: Sequence[wire.AttemptResult], seconds: float) -> None:
        """With others of its lane."""
        assert self._account.merit is not None
        now, failed = self._clock.monotonic(), sum(map(_is_its_trouble, results))
        self._account.merit.note_answers(len(results) - failed, failed, now)
        self._account.merit.note_call(seconds, now)

    def _heed(self, result: wire.AttemptResult) -> None:
        match result:
            case wire.Accepted():
                self._account.succeed()
            case wire.Deferred(cause=wire.Cause.THROTTLED):
                self._account.throttle(result.retry_after)
            case wire.Deferred(cause=wire.Cause.CREDENTIAL):
                self._credential_refusals.inc()
                _log.error("credential_refused provider=%s code=%s", self._name, result.code)
                self._account.pause(_CREDENTIAL_PAUSE)
                self._account.abandon()
            case wire.Deferred(cause=wire.Cause.CONNECT):
                self._account.fail(connect=True)
            case wire.Unknown(of_recipient=True) | wire.Deferred(held=True):
                self._account.abandon()
            case wire.Deferred(cause=wire.Cause.TEMPORARY) | wire.Unknown():
                self._account.fail(connect=False)
            case _:
                self._account.succeed()


def _is_its_trouble(result: wire.AttemptResult) -> bool:
    """Whether the account could not do what it is there for. A throttled one is paused for it."""
    match result:
        case wire.Unknown():
            return True
        case wire.Deferred(cause=cause):
            return cause in (wire.Cause.CONNECT, wire.Cause.TEMPORARY)
        case wire.Rejected(scope=scope):
            return scope is wire.Scope.PROVIDER
        case _:
            return False


def _verdict(results: Sequence[wire.AttemptResult]) -> wire.AttemptResult:
    """The result of a call that tells most about the account: what it asks for, else that it does
    its work, if it did for any of them."""
    if len(results) == 1:
        return results[0]
    return min(results, key=_weight)


def _weight(result: wire.AttemptResult) -> int:
    match result:
        case wire.Deferred(cause=wire.Cause.CREDENTIAL):
            return 0
        case wire.Deferred(cause=wire.Cause.THROTTLED):
            return 1
        case wire.Deferred(cause=wire.Cause.TEMPORARY | wire.Cause.CONNECT) | wire.Unknown():
            return 3
        case _:
            return 2
