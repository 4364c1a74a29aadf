"""The page with charts is one that browsers read as it was meant."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from benchmarks import page
from benchmarks.latency import percentile
from benchmarks.report import Chart, Result, shown

BARS = Chart(
    title="messages <a second>", bars={"gateway": [9.0, 10.0, 14.0], "bare & loop": [20.0]}
)
LINES = Chart(
    title="latency",
    lines={"50%": [(0.0, 2.0), (1.0, 40.0)], "80%": [(0.0, 3.0), (2.0, 700.0)]},
    across="nines",
    logarithmic=True,
)


def svg(chart: Chart) -> ElementTree.Element:
    drawn = page.draw(chart)
    return ElementTree.fromstring(drawn[drawn.index("<svg") :])


def texts(chart: Chart) -> list[str]:
    return [one.text or "" for one in svg(chart).iter("text")]


def test_bars_are_as_long_as_their_medians() -> None:
    widths = [float(one.attrib["width"]) for one in svg(BARS).iter("rect")]

    assert widths[0] / widths[1] == pytest.approx(0.5, rel=0.01)
    assert len(list(svg(BARS).iter("circle"))) == 4
    assert {"gateway", "bare & loop", "10", "20"} <= set(texts(BARS))


def test_lines_rise_by_the_logarithm() -> None:
    (low, high) = (
        [float(point.split(",")[1]) for point in one.attrib["points"].split()]
        for one in svg(LINES).iter("polyline")
    )

    assert (low[0] - low[1]) / (high[0] - high[1]) == pytest.approx(
        math.log(40 / 2) / math.log(700 / 3), rel=0.01
    )
    assert {"1", "10", "100", "50%", "80%", "nines"} <= set(texts(LINES))


def test_names_of_lines_that_end_together_can_be_read() -> None:
    chart = Chart(title="depth", lines={name: [(0.0, 0.0), (1.0, 9.0)] for name in "abc"})

    heights = [float(one.attrib["y"]) for one in svg(chart).iter("text") if one.text in set("abc")]

    assert len(heights) == 3
    assert all(low - high >= 12 for low, high in pairwise(heights))


@pytest.mark.parametrize(
    "chart",
    [
        Chart(title="nothing"),
        Chart(title="zeros", bars={"a": [0.0], "b": []}),
        Chart(title="a point", lines={"a": [(1.0, 5.0)], "b": []}, logarithmic=True),
        Chart(title="flat", lines={"a": [(1.0, 0.0), (2.0, 0.0)]}),
    ],
)
def test_whatever_was_measured_can_be_drawn(chart: Chart) -> None:
    for one in svg(chart).iter():
        for name in ("x", "y", "width", "points"):
            assert "nan" not in one.attrib.get(name, "")


def test_page_tells_what_was_missed_and_where() -> None:
    result = Result(
        name="http", goal="at least 1 < 2", reached=False, figures={"rate": 1234.5}, charts=[BARS]
    )

    text = page.render([result], {"processor": "A&B"})

    assert "A&amp;B" in text
    assert "at least 1 &lt; 2" in text
    assert "missed" in text
    assert "1,234" in text
    assert text.count("<svg") == 1


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (12.34, "12.3"), (41_730.2, "41,730"), (3, "3")]
)
def test_figures_are_shown_in_three_digits_or_whole(value: float, text: str) -> None:
    assert shown(value) == text


def test_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 101)]

    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [
        1.0,
        50.0,
        99.0,
        100.0,
    ]


@pytest.mark.parametrize(
    ("reached", "figures", "verdict"),
    [
        (True, {"ratio": 2.0}, "reached"),
        (False, {"ratio": 0.5}, "missed"),
        (None, {"ratio": 0.5}, "no goal"),
        (None, {"missing": "the program z"}, "left out"),
    ],
)
def test_verdict_tells_a_goal_missed_from_none(
    reached: bool | None, figures: dict[str, float | int | str], verdict: str
) -> None:
    result = Result(name="x", goal="y", reached=reached, figures=figures)

    assert result.verdict == verdict
    assert verdict in page.render([result], {})
