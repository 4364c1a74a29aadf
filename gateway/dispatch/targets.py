"""Requests to addresses that recipients name, each host judged by itself.

A host that is dead, slow or hostile is the trouble of those recipients alone: it has a breaker and
a few slots of its own, and nothing of what it does reaches the account's breaker. Services that
many recipients share (`HttpProvider.knows`) may have all slots.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from gateway.clock import Clock
from gateway.dispatch.senders import HttpSender
from gateway.limits.breaker import Breaker, BreakerRules, BreakerState
from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import base as providers
from gateway.transport import base as transports

#: Hosts that are remembered; one that is forgotten begins anew.
_MOST_HOSTS = 10_000
#: Seconds after which a host is asked again whose probe is out.
_LOOK = 5.0
#: Seconds between two requests that wait for a busy host, at the least, and the farthest that one
#: is put off.
_LEAST_PACE, _FARTHEST = 0.02, 600.0
#: How much of the last answer's time there is in the mean.
_NEWS = 0.2


class Target:
    """One host. Times are seconds of a monotonic clock."""

    def __init__(self, rules: BreakerRules, slots: int | None) -> None:
        """slots: requests in flight; None: no bound."""
        self.breaker = Breaker(rules)
        self.in_flight = 0
        self._slots = slots
        self._seconds = 0.0
        self._booked = 0.0

    def objection(self, now: float) -> wire.Deferred | None:
        """Why nothing is sent to it now; None: it may be.

        What waits for a service that all know costs no attempt: it will be back.
        """
        if (wait := self.breaker.wait(now)) > 0.0:
            wait = _LOOK if math.isinf(wait) else wait
            return _deferral("target_down", wait, held=self._slots is None)
        if self._slots is None or self.in_flight < self._slots:
            return None
        # each gets a moment of its own, or all would come again at once
        pace = max(_LEAST_PACE, self._seconds / self._slots)
        self._booked = min(max(self._booked, now) + pace, now + _FARTHEST)
        return _deferral("target_busy", self._booked - now, held=True)

    def start(self, now: float) -> None:
        self.in_flight += 1
        self.breaker.start(now)

    def end(self, seconds: float) -> None:
        """A request that took so long is over."""
        self.in_flight -= 1
        self._seconds += _NEWS * (seconds - self._seconds)

    def judge(self, result: wire.AttemptResult, now: float) -> wire.AttemptResult:
        """The result, with the blame where it belongs."""
        match result:
            case wire.Deferred(cause=wire.Cause.CONNECT | wire.Cause.TEMPORARY):
                self.breaker.fail(now, connect=result.cause is wire.Cause.CONNECT)
                return replace(result, cause=wire.Cause.RECIPIENT)
            case wire.Unknown():
                self.breaker.fail(now)
                return replace(result, of_recipient=True)
            case wire.Deferred(cause=wire.Cause.THROTTLED | wire.Cause.CREDENTIAL):
                self.breaker.abandon(now)
            case _:
                self.breaker.succeed(now)
        return result


def _deferral(code: str, wait: float, *, held: bool) -> wire.Deferred:
    recipient = wire.Cause.RECIPIENT
    return wire.Deferred(code=code, cause=recipient, retry_after=wait, held=held)


class Targets:
    """All hosts of one account."""

    def __init__(self, rules: BreakerRules, *, slots: int, knows: Callable[[str], bool]) -> None:
        """slots: requests in flight to a host that is not known."""
        self._rules = rules
        self._slots = slots
        self._knows = knows
        self._targets: OrderedDict[str, Target] = OrderedDict()

    def of(self, url: str) -> Target:
        """The one that an address leads to."""
        host = _host(url)
        found = self._targets.get(host)
        if found is None:
            slots = None if self._knows(url) else self._slots
            found = self._targets[host] = Target(self._rules, slots)
            self._forget_one()
        else:
            self._targets.move_to_end(host)
        return found

    def _forget_one(self) -> None:
        """The one that has not been asked for longest, unless it is at work."""
        if len(self._targets) <= _MOST_HOSTS:
            return
        for host, target in self._targets.items():
            is_well = target.breaker.state is BreakerState.CLOSED
            if not target.in_flight and is_well:
                del self._targets[host]
                return
        self._targets.popitem(last=False)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


class GuardedSender(HttpSender):
    """Sends by a provider whose requests go where recipients say."""

    def __init__(
        self,
        provider: providers.HttpProvider,
        transport: transports.HttpTransport,
        clock: Clock,
        *,
        timeout: float,
        targets: Targets,
    ) -> None:
        super().__init__(provider, transport, clock, timeout=timeout)
        self._targets = targets
        self._clock = clock

    async def _exchange(
        self,
        group: Sequence[wire.Message],
        request: wire.HttpRequest,
        admit: transports.Admit | None,
    ) -> Sequence[wire.AttemptResult]:
        target, started = self._targets.of(request.url), self._clock.monotonic()
        if (objection := target.objection(started)) is not None:
            return [objection] * len(group)
        target.start(started)
        try:
            results = await super()._exchange(group, request, admit)
        except BaseException:  # cancelled, or not claimed any more: nothing is known of the host
            target.breaker.abandon(self._clock.monotonic())
            raise
        finally:
            target.end(self._clock.monotonic() - started)
        now = self._clock.monotonic()
        return [target.judge(one, now) for one in results]
