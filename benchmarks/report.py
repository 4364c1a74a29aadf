"""Results: what was measured, what it must reach, and how it is shown."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One benchmark's figures."""

    name: str
    #: what must be reached, in words
    goal: str
    #: None when there is no goal, or it could not be measured here
    reached: bool | None
    #: figure by name, with its unit in the name
    figures: Mapping[str, float | int | str]
    charts: Sequence["Chart"] = ()

    @property
    def verdict(self) -> str:
        """In words. What could not be measured has `missing` among its figures."""
        if self.reached is None:
            return "left out" if "missing" in self.figures else "no goal"
        return "reached" if self.reached else "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is better seen than read."""

    #: with the unit
    title: str
    #: by who was measured, the values of the rounds
    bars: Mapping[str, Sequence[float]] = field(default_factory=dict)
    #: by who was measured, points (x, y); y on a logarithmic scale where `logarithmic`
    lines: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    #: what the x of lines is
    across: str = ""
    logarithmic: bool = False


_STYLES = {"reached": "green", "missed": "red"}


#: Below this nothing is measured: all of it runs once, as fast as it can.
_LOOK = 0.01

T = TypeVar("T")


def rounds(scale: float) -> int:
    """How often to measure: often enough for a median, or once to see that it runs."""
    return 5 if scale >= 1 else 2 if scale >= _LOOK else 1


def least(scale: float, figures: T, look: T) -> T:
    """How small a size may be: `figures` to measure at all, `look` to see that it runs."""
    return figures if scale >= _LOOK else look


def spread(values: Sequence[float]) -> str:
    """Median, lowest and highest."""
    middle = statistics.median(values)
    return f"{shown(middle)} ({shown(min(values))}…{shown(max(values))})"


def show(console: Console, results: Sequence[Result]) -> None:
    table = Table(title="Benchmarks", show_lines=True)
    for heading in ("name", "figures", "goal", ""):
        table.add_column(heading)
    for one in results:
        figures = "\n".join(f"{name}: {shown(value)}" for name, value in one.figures.items())
        style = _STYLES.get(one.verdict, "default")
        table.add_row(one.name, figures, one.goal, f"[{style}]{one.verdict}[/]")
    console.print(table)


def shown(value: float | str) -> str:
    """A figure in three digits, or all of a whole number's."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or isinstance(value, int) else f"{value:.3g}"
