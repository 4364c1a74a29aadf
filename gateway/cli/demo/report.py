"""The numbers of the demo: a snapshot while it runs, and the whole story at its end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gateway.cli.client import Samples
from gateway.cli.demo.scenario import SCENARIOS
from gateway.cli.demo.tally import Count, Tally
from gateway.cli.stand import Stand
from gateway.model.state import State
from gateway.sandbox.http import LATE
from gateway.sandbox.magic import Fate

_ATTEMPTS = "gateway_attempts_total"
_RECEIPTS = "gateway_receipts_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRow:
    name: str
    chain: str
    submitted: int
    states: Mapping[str, int]
    channels: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """One account: what the gateway counted, and what the simulator did."""

    account: str
    channel: str
    accepted: int
    deferred: int
    rejected: int
    unknown: int
    #: receipts that said so
    delivered: int
    failed: int
    #: refusals of the simulator for coming too fast
    throttled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All numbers at one moment."""

    #: since the first message
    seconds: float
    submitted: int
    refused: int
    states: Mapping[str, int]
    scenarios: Sequence[ScenarioRow]
    providers: Sequence[ProviderRow]
    #: messages that ended on a later channel than their first, by channel
    fallbacks: Mapping[str, int]
    #: messages that a second provider of their lane took over
    failovers: int
    throttled: int
    #: emails that a late receipt of the push before them cancelled
    cancelled: int
    #: `verified`, `repeated` and `refused`
    webhooks: Mapping[str, int]
    #: HH:MM in UTC, until which it is quiet for those that are scheduled
    quiet_until: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def make(
    tally: Tally, stand: Stand, samples: Samples, *, seconds: float, quiet_until: str
) -> Report:
    """What tally, simulators and the gateway's metrics say now."""
    counts = tally.counts()
    providers = _providers(stand, samples)
    taken = stand.receiver.log.counts
    return Report(
        seconds=seconds,
        submitted=sum(one.submitted for one in counts.values()),
        refused=tally.refused,
        states=dict(tally.states()),
        scenarios=[
            ScenarioRow(
                name=one.name,
                chain=one.chain,
                submitted=counts[one.name].submitted,
                states=dict(counts[one.name].states),
                channels=dict(counts[one.name].channels),
            )
            for one in SCENARIOS
        ],
        providers=providers,
        fallbacks=dict(tally.fallbacks),
        failovers=tally.failovers,
        cancelled=_cancelled(counts[SCENARIOS[-1].name], stand),
        throttled=sum(one.throttled for one in providers),
        webhooks={
            "verified": taken[Fate.TAKEN],
            "repeated": stand.receiver.duplicates,
            "refused": taken[Fate.INVALID],
        },
        quiet_until=quiet_until,
    )


def _cancelled(late: Count, stand: Stand) -> int:
    """Messages that ended by their push, less those whose email went out all the same."""
    emails = sum(LATE in one.to for one in stand.relay.log.arrivals)
    return late.states[State.DELIVERED] - emails


def _providers(stand: Stand, samples: Samples) -> list[ProviderRow]:
    attempts = samples.by(_ATTEMPTS, "provider", "result")
    receipts = samples.by(_RECEIPTS, "provider", "event")
    return [
        ProviderRow(
            account=account,
            channel=channel,
            **_results(attempts, account),
            delivered=receipts[account, "delivered"],
            failed=receipts[account, "failed"],
            throttled=stand.accounts[account].log.counts[Fate.THROTTLED],
        )
        for account, channel in stand.channels.items()
    ]


def _results(attempts: Counter[tuple[str, ...]], account: str) -> dict[str, int]:
    return {
        result: attempts[account, result]
        for result in ("accepted", "deferred", "rejected", "unknown")
    }
