"""Results as one page of HTML that needs nothing else: tables, and charts as SVG."""

import math
import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path

from benchmarks.report import Chart, Result, shown

#: Of a chart, in pixels: all of it, and what is left for its words.
_WIDTH, _HEIGHT = 640, 260
_LEFT, _BOTTOM, _TOP = 150, 34, 10

_COLOURS = ("#1f6feb", "#d29922", "#2da44e", "#cf222e", "#8250df", "#57606a")

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1f2328; background: #fff }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
td, th { border-bottom: 1px solid #d0d7de; padding: .2rem .8rem .2rem 0; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.missed { color: #cf222e } .reached { color: #1a7f37 } .goal { color: #57606a }
svg { display: block; margin: 1rem 0; max-width: 100% }
svg text { font: 12px system-ui, sans-serif }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117 } td, th { border-color: #30363d }
  svg text { fill: #e6edf3 } .goal { color: #8d96a0 }
}
"""


def machine() -> Mapping[str, str]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "system": platform.platform(),
        "Python": platform.python_version(),
        **{name: version(name) for name in ("gateway", "aiohttp", "uvloop", "apsw", "asyncpg")},
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def render(results: Sequence[Result], about: Mapping[str, str]) -> str:
    """The whole page."""
    facts = "".join(f"<tr><th>{escape(k)}<td>{escape(v)}" for k, v in about.items())
    body = "".join(map(_section, results))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Benchmarks</title>'
        f"<style>{_STYLE}</style><h1>Benchmarks</h1><table>{facts}</table>{body}</html>\n"
    )


def _section(one: Result) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}<td class="n">{escape(shown(value))}'
        for name, value in one.figures.items()
    )
    charts, verdict = "".join(map(draw, one.charts)), one.verdict
    shown_as = f'<span class="{escape(verdict.replace(" ", "-"))}">{escape(verdict)}</span>'
    return (
        f'<h2>{escape(one.name)}</h2><p class="goal">{escape(one.goal)}: {shown_as}</p>'
        f"<table>{rows}</table>{charts}"
    )


def draw(chart: Chart) -> str:
    """SVG: bars from zero to the median with a mark for each round, or lines."""
    inside = "".join(_bars(chart) if chart.bars else _lines(chart))
    return (
        f'<h3>{escape(chart.title)}</h3><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" role="img" aria-label="{escape(chart.title)}">{inside}</svg>'
    )


def _bars(chart: Chart) -> Iterator[str]:
    top = max((max(values) for values in chart.bars.values() if values), default=0.0) or 1.0
    room = (_HEIGHT - _TOP - _BOTTOM) / max(1, len(chart.bars))
    scale = (_WIDTH - _LEFT - 90) / top
    for number, (who, values) in enumerate(chart.bars.items()):
        y, middle = _TOP + number * room, statistics.median(values or [0.0])
        colour = _COLOURS[number % len(_COLOURS)]
        yield _text(_LEFT - 8, y + room / 2 + 4, who, "end")
        yield (
            f'<rect x="{_LEFT}" y="{y + room * 0.2:.1f}" width="{middle * scale:.1f}" '
            f'height="{room * 0.6:.1f}" fill="{colour}" opacity=".75"/>'
        )
        for value in values:
            yield (
                f'<circle cx="{_LEFT + value * scale:.1f}" cy="{y + room / 2:.1f}" r="3" '
                'fill="none" stroke="currentColor"/>'
            )
        yield _text(_LEFT + max([middle, *values]) * scale + 8, y + room / 2 + 4, shown(middle))


def _lines(chart: Chart) -> Iterator[str]:
    points = [point for line in chart.lines.values() for point in line]
    if not points:
        return
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    lowest, highest = min(y for _, y in points), max(y for _, y in points)
    bottom = _floor(lowest) if chart.logarithmic else 0.0
    span = (right - left) or 1.0

    def height(y: float) -> float:
        part = (
            math.log(max(y, bottom) / bottom) / (math.log(highest / bottom) or 1.0)
            if chart.logarithmic
            else y / (highest or 1.0)
        )
        return _HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM)

    for mark in _marks(bottom, highest, logarithmic=chart.logarithmic):
        yield (
            f'<path d="M{_LEFT} {height(mark):.1f}H{_WIDTH - 10}" stroke="#8884" fill="none"/>'
            + _text(_LEFT - 8, height(mark) + 4, shown(mark), "end")
        )
    scale = (_WIDTH - _LEFT - 130) / span
    for number, line in enumerate(chart.lines.values()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{_LEFT + (x - left) * scale:.1f},{height(y):.1f}" for x, y in line)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    ends = {
        who: (line[-1][0], height(line[-1][1]) + 4) for who, line in chart.lines.items() if line
    }
    for who, y in _spread({who: y for who, (_, y) in ends.items()}).items():
        yield _text(_LEFT + (ends[who][0] - left) * scale + 6, y, who)
    for x in (left, right):
        yield _text(_LEFT + (x - left) * scale, _HEIGHT - _BOTTOM + 16, shown(x), "middle")
    yield _text(_LEFT + span * scale / 2, _HEIGHT - 4, chart.across, "middle")


def _spread(heights: Mapping[str, float]) -> Mapping[str, float]:
    """The same words from the lowest up, none nearer to another than can be read."""
    placed: dict[str, float] = {}
    above = float(_HEIGHT)
    for word, y in sorted(heights.items(), key=lambda one: -one[1]):
        placed[word] = above = min(y, above - 13)
    return placed


def _marks(bottom: float, highest: float, *, logarithmic: bool) -> Iterator[float]:
    """Where the scale is labelled."""
    if logarithmic:
        mark = bottom
        while mark <= highest:
            yield mark
            mark *= 10
        return
    step = _floor(highest or 1.0)
    step = step if highest / step >= 3 else step / 4
    for number in range(int(highest / step) + 1):
        yield number * step


def _floor(value: float) -> float:
    """The power of ten below."""
    return float(10 ** math.floor(math.log10(value))) if value > 0 else 1e-6


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">'
        f"{escape(words)}</text>"
    )
