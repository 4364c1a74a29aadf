"""All metrics, in one place. Labels come from configuration and fixed sets, never from messages.

To watch "99% delivered within five minutes" of a provider:

    sum(rate(gateway_delivery_seconds_bucket{provider="acme",le="300.0"}[1h]))
      / sum(rate(gateway_attempts_total{provider="acme",result="accepted"}[1h]))
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import product

from prometheus_client import Counter

from gateway.meters import Meters, Times
from gateway.model.lint import Finding, Rule, Severity
from gateway.model.state import REPORTED
from gateway.model.wire import ReceiptEvent

#: From a request's answer to the patience of a caller, in seconds.
_ANSWERS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: From one fsync to a disk in trouble, in seconds.
_COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

#: From at once to days; 60, 300 and 3600 are the objectives that people watch.
_DELIVERIES = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

#: Why a submission made no new message.
_REFUSALS = ("invalid", "throttled", "key_conflict", "duplicate", "repeated", "unavailable")

#: Why a provider's report was turned away.
_RECEIPT_REFUSALS = ("signature", "unreadable", "stranger")

#: What a recipient's message is; `repeated` by the provider.
_INBOUND_KINDS = ("opt_out", "opt_in", "help", "reply", "repeated")

#: Sorts of rules that make messages wait (`model.hold.Hold.kind`).
_HOLD_KINDS = ("windows", "quiet", "holidays", "preset", "recipient", "cap", "yields", "other")

#: What a cap decides of a message that is about to be sent.
CAP_DECISIONS = ("passed", "deferred", "dropped", "merged")

_BREAKER_STATES = ("closed", "half_open", "open")


class Metrics(Meters):
    """The metrics of one gateway process."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: dict[tuple[str, str], Counter] = {}
        self._successes: dict[str, Times] = {}
        self._add_messages()
        self._add_attempts()
        self._add_endings()
        self._add_times()
        self._add_gauges()

    def _add_messages(self) -> None:
        self.accepted = self._counter(
            "gateway_messages_accepted", "Messages stored and acknowledged", "category"
        )
        self.refused = self._counter(
            "gateway_messages_refused",
            f"Submissions that made no new message: {', '.join(_REFUSALS)}",
            "reason",
        )
        self.deferred = self._counter(
            "gateway_messages_deferred",
            "Waits by a rule that let nothing pass, of messages at accept and of their parts when "
            f"their turn came, by the sort of rule: {', '.join(_HOLD_KINDS)}",
            "category",
            "rule",
        )
        self.lint_findings = self._counter(
            "gateway_lint_findings",
            "What rules about content found in submitted messages",
            "rule",
            "severity",
        )

    def _add_attempts(self) -> None:
        self.attempts = self._counter(
            "gateway_attempts",
            "Attempts by what the provider's answer came to",
            "provider",
            "result",
        )
        self.attempt_seconds = self._histogram(
            "gateway_attempt_seconds", "From the request to its answer", _ANSWERS, "provider"
        )
        self.token_wait_seconds = self._histogram(
            "gateway_token_wait_seconds",
            "Waiting for a token with a connection in hand",
            _ANSWERS,
            "provider",
        )
        self.receipts = self._counter(
            "gateway_receipts", "Delivery receipts by event", "provider", "event"
        )
        self.receipts_refused = self._counter(
            "gateway_receipts_refused",
            f"Receipt requests turned away: {', '.join(_RECEIPT_REFUSALS)}",
            "provider",
            "reason",
        )

        self.inbound = self._counter(
            "gateway_inbound_messages",
            f"What recipients wrote: {', '.join(_INBOUND_KINDS)}",
            "provider",
            "kind",
        )
        self.inbound_untied = self._counter(
            "gateway_inbound_messages_untied",
            "What recipients wrote that answers no known message, so that no tenant was told",
            "provider",
        )

    def _add_endings(self) -> None:
        self.ended = self._counter(
            "gateway_messages_entered",
            "Messages by the reported state that they entered",
            "category",
            "state",
        )
        self.fallbacks = self._counter(
            "gateway_fallback_steps", "Steps started after the one before, by channel", "channel"
        )
        self.double_successes = self._counter(
            "gateway_double_successes", "Messages that succeeded on more than one step", "category"
        )
        self.cap_decisions = self._counter(
            "gateway_cap_decisions",
            f"Claimed messages by what a cap decided: {', '.join(CAP_DECISIONS)}",
            "cap",
            "decision",
        )
        self.credential_refusals = self._counter(
            "gateway_credential_refusals",
            "Calls for which the provider refused the credential, or there was no access token",
            "provider",
        )
        self.stale = self._counter(
            "gateway_stale_results", "Results of claims that were no longer ours", "provider"
        )

    def _add_times(self) -> None:
        self.end_to_end_seconds = self._histogram(
            "gateway_end_to_end_seconds",
            "From acceptance (or send_at) to the first success",
            _DELIVERIES,
            "category",
            extra=_ANSWERS[3:8],
        )
        self.delivery_seconds = self._histogram(
            "gateway_delivery_seconds",
            "From acceptance to the receipt that says delivered",
            _DELIVERIES,
            "provider",
        )
        self.webhook_lag_seconds = self._histogram(
            "gateway_webhook_lag_seconds",
            "From a change of state to the receiver's 2xx",
            _DELIVERIES,
            extra=_ANSWERS[3:8],
        )
        self.commit_seconds = self._histogram(
            "gateway_store_commit_seconds",
            "One transaction of the writer, fsync included",
            _COMMITS,
        )

    def _add_gauges(self) -> None:
        self.queue_rows = self._gauge(
            "gateway_queue_rows",
            "Unclaimed rows of the queue: ready, or waiting for their time",
            "lane",
            "phase",
        )
        self.oldest_ready_seconds = self._gauge(
            "gateway_oldest_ready_seconds", "Age of the longest due ready row", "lane"
        )
        self.breaker = self._gauge(
            "gateway_breaker_state",
            "1 for the state that the breaker is in",
            "provider",
            "state",
            over="livemax",
        )
        self.paused_seconds = self._gauge(
            "gateway_provider_paused_seconds",
            "How long the account is still paused",
            "provider",
            over="livemax",
        )
        self.in_flight = self._gauge(
            "gateway_in_flight", "Requests under way", "provider", over="livesum"
        )
        self.endpoints_disabled = self._gauge(
            "gateway_webhook_endpoints_disabled", "Endpoints switched off after lasting failure"
        )

    def begin(
        self,
        *,
        categories: Collection[str],
        channels: Collection[str],
        accounts: Collection[str],
        reporters: Collection[str],
        answered: Collection[str],
        internal: str,
        caps: Collection[str] = (),
    ) -> None:
        """Show what has not happened yet as 0: `rate()` misses an event that brings its series.

        reporters: the accounts that send receipts. answered: those that recipients can write to.
        internal: the category of our own messages.
        """
        for counter, *labels in (
            (self.accepted, categories),
            (self.refused, _REFUSALS),
            (self.deferred, categories, _HOLD_KINDS),
            (self.receipts, reporters, ReceiptEvent),
            (self.receipts_refused, reporters, _RECEIPT_REFUSALS),
            (self.inbound, answered, _INBOUND_KINDS),
            (self.inbound_untied, answered),
            (self.ended, [*categories, internal], REPORTED),
            (self.fallbacks, channels),
            (self.double_successes, categories),
            (self.cap_decisions, caps, CAP_DECISIONS),
            (self.stale, accounts),
            (self.end_to_end_seconds, categories),
            (self.delivery_seconds, reporters),
        ):
            for values in product(*labels):
                counter.labels(*values)

    def begin_lint(self) -> None:
        """The same where content is looked at."""
        for rule, severity in product(Rule, Severity):
            self.lint_findings.labels(rule, severity)

    def count_finding(self, found: Finding) -> None:
        self.lint_findings.labels(found.rule, found.severity).inc()

    # Children are kept where each message counts: finding one takes longer than counting with it.

    def count_ends(self, category: str, state: str, count: int = 1) -> None:
        """Messages entered a reported state."""
        child = self._ends.get((category, state))
        if child is None:
            child = self._ends[category, state] = self.ended.labels(category, state)
        child.inc(count)

    def note_first_successes(
        self, category: str, seconds: Sequence[float], *, internal: bool
    ) -> None:
        """Messages succeeded, so long after they were accepted. internal: webhooks of ours."""
        if internal:
            self.webhook_lag_seconds.observe_all(seconds)
            return
        child = self._successes.get(category)
        if child is None:
            child = self._successes[category] = self.end_to_end_seconds.labels(category)
        child.observe_all(seconds)

    def set_breaker(self, provider: str, state: str) -> None:
        for one in _BREAKER_STATES:
            self.breaker.labels(provider, one).set(one == state)

    def set_queue(
        self, lanes: Mapping[str, Mapping[str, int]], oldest: Mapping[str, float]
    ) -> None:
        """lanes: rows by phase, by lane. oldest: seconds by lane."""
        for lane, phases in lanes.items():
            for phase, rows in phases.items():
                self.queue_rows.labels(lane, phase).set(rows)
        for lane, age in oldest.items():
            self.oldest_ready_seconds.labels(lane).set(age)
