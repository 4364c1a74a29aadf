"""How the demo shows its numbers: a live page in a terminal, lines elsewhere, JSON on request."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli import tables
from gateway.cli.demo.report import Report
from gateway.cli.demo.tally import OPEN

_STATES = (OPEN, "sent", "delivered", "failed", "unknown")
#: Columns also where all is zero, so that the page stays as it is while numbers come in.
_ALWAYS = (OPEN, "sent", "delivered", "failed")


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
    states = " ".join(f"{name}={report.states[name]}" for name in _STATES if name in report.states)
    return f"{report.seconds:5.1f} s  posted={report.submitted} {states}"


def _scenarios(report: Report) -> RenderableType:
    states = [name for name in _STATES if name in _ALWAYS or report.states.get(name)]
    rows: list[tuple[object, ...]] = [
        (
            one.name,
            one.chain,
            ", ".join(name for name in sorted(one.channels) if name),
            one.submitted,
            *(one.states.get(state, 0) for state in states),
        )
        for one in report.scenarios
    ]
    sums = [report.states.get(state, 0) for state in states]
    rows.append(("all", "", "", report.submitted, *sums))
    return tables.table(("messages", "chain", "via", "posted", *states), rows)


def _providers(report: Report) -> RenderableType:
    """Throttled are refusals by the simulator, of which one attempt may meet several."""
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
    return tables.table((*columns, "receipts:\ndelivered", "failed"), rows)


def _totals(report: Report) -> str:
    parts = {
        "went on to another channel": sum(report.fallbacks.values()),
        "to a second provider": report.failovers,
        "cancelled by late receipts": report.cancelled,
        "throttled": report.throttled,
        "webhooks verified": report.webhooks["verified"],
        "webhooks refused": report.webhooks["refused"],
        "posts refused": report.refused,
    }
    return "  ".join(f"{name}: {count}" for name, count in parts.items())


def ending(report: Report, examples: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """What became of everything, with the stories of a few messages."""
    parts: list[RenderableType] = [page(report, "what became of the messages"), Text()]
    for name, message in examples.items():
        parts += [Text(f"One of “{name}”:", style="bold"), tables.timeline(message), Text()]
    return Group(*parts)
