"""How the demo shows its numbers: a live page in a terminal, lines elsewhere, JSON on request."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli import output
from gateway.cli.demo.report import Report
from gateway.cli.demo.tally import OPEN

_STATES = (OPEN, "sent", "delivered", "failed", "unknown")


def page(report: Report, note: str) -> RenderableType:
    """Everything, for a terminal."""
    return Group(
        Text(f"{report.seconds:5.1f} s  {note}", style="bold"),
        Text(),
        _scenarios(report),
        Text(),
        _providers(report),
        Text(),
        Text(_totals(report)),
    )


def line(report: Report) -> str:
    """The same in short, for a log."""
    states = " ".join(f"{name}={report.states[name]}" for name in _STATES if name in report.states)
    return f"{report.seconds:5.1f} s  submitted={report.submitted} {states} | {_totals(report)}"


def _scenarios(report: Report) -> RenderableType:
    rows = [
        (
            one.name,
            one.chain,
            one.submitted,
            *(one.states.get(state, 0) for state in _STATES),
            ", ".join(f"{count} by {name}" for name, count in sorted(one.channels.items()) if name),
        )
        for one in report.scenarios
    ]
    rows.append(
        (
            "all",
            "",
            report.submitted,
            *(report.states.get(state, 0) for state in _STATES),
            "",
        )
    )
    return output.table(("messages", "chain", "posted", *_STATES, "reached"), rows)


def _providers(report: Report) -> RenderableType:
    columns = ("provider", "channel", "accepted", "deferred", "of these throttled", "rejected")
    rows = [
        (
            one.account,
            one.channel,
            one.accepted,
            one.deferred,
            one.throttled,
            one.rejected,
            one.delivered,
            one.failed,
        )
        for one in report.providers
    ]
    return output.table((*columns, "receipts: delivered", "failed"), rows)


def _totals(report: Report) -> str:
    parts = {
        "went on to another channel": sum(report.fallbacks.values()),
        "to a second provider": report.failovers,
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
        parts += [Text(f"One of “{name}”:", style="bold"), output.timeline(message), Text()]
    return Group(*parts)
