"""How the demo shows its numbers: a live page in a terminal, lines elsewhere, JSON on request."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli import tables
from gateway.cli.demo.report import Report
from gateway.cli.demo.tally import OPEN

_STATES = (OPEN, "sent", "delivered", "failed", "suppressed", "unknown")
#: Columns also where all is zero, so that the page stays as it is while numbers come in.
_ALWAYS = (OPEN, "sent", "delivered", "failed", "suppressed")


def page(report: Report, note: str) -> RenderableType:
    """Everything, for a terminal."""
    return Group(
        Text(f"{report.seconds:5.1f} s  {note}", style="bold"),
        _scenarios(report),
        _providers(report),
        Text(_totals(report)),
    )


def line(report: Report) -> str:
    """The same in short, for a log."""
    counts = {name: _count(report.states, name) for name in _STATES}
    states = " ".join(f"{name}={count}" for name, count in counts.items() if count)
    return f"{report.seconds:5.1f} s  posted={report.submitted} {states}"


def _scenarios(report: Report) -> RenderableType:
    states = [name for name in _STATES if name in _ALWAYS or report.states.get(name)]
    rows: list[tuple[object, ...]] = [
        (
            one.name,
            one.chain,
            one.submitted,
            *(_count(one.states, state) for state in states),
        )
        for one in report.scenarios
    ]
    sums = [_count(report.states, state) for state in states]
    rows.append(("all", "", report.submitted, *sums))
    return tables.table(("messages", "chain", "posted", *states), rows, gap=1)


def _count(states: Mapping[str, int], name: str) -> int:
    """Those that wait for their time are open, too."""
    return states.get(name, 0) + (states.get("scheduled", 0) if name == OPEN else 0)


def _providers(report: Report) -> RenderableType:
    """Throttled are refusals by the simulator, of which one attempt may meet several; delivered
    and failed is what receipts said."""
    columns = ("provider", "channel", "accepted", "deferred", "rejected", "throttled")
    rows = [
        (
            one.account,
            one.channel,
            one.accepted,
            one.deferred,
            one.rejected,
            one.throttled,
            one.delivered,
            one.failed,
        )
        for one in report.providers
    ]
    return tables.table((*columns, "delivered", "failed"), rows)


def _totals(report: Report) -> str:
    parts = {
        f"wait until {report.quiet_until} UTC": report.states.get("scheduled", 0),
        "on another channel": sum(report.fallbacks.values()),
        "second provider": report.failovers,
        "cancelled late": report.cancelled,
        "webhooks verified": report.webhooks["verified"],
        "refused": report.webhooks["refused"],
        "posts refused": report.refused,
    }
    return "  ".join(f"{name}: {count}" for name, count in parts.items())


def ending(report: Report, examples: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """What became of everything, with the stories of a few messages."""
    parts: list[RenderableType] = [page(report, "what became of the messages"), Text()]
    for name, message in examples.items():
        parts += [Text(f"One of “{name}”:", style="bold"), tables.timeline(message), Text()]
    return Group(*parts)
