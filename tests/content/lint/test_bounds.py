"""What is looked at of long texts, and that none takes more than its length in work."""

import time
from typing import Any

import pytest

from gateway.content.lint.linter import Linter
from gateway.content.lint.sample import Sample
from gateway.model import wire
from gateway.settings import LintSettings

LINTER = Linter(LintSettings())
LONG = 64 * 1024


def rules(**texts: Any) -> list[str]:
    content = wire.Content(subject="Your order", **texts)
    return [one.rule for one in LINTER.check(Sample(wire.Channel.EMAIL, content), {})]


def test_text_is_read_so_far_and_no_further() -> None:
    within = rules(text="x " * 8_000 + "http://example.com/")
    beyond = rules(text="x " * 8_200 + "http://example.com/")

    assert within == ["link.http"]
    assert beyond == []


def test_of_html_what_people_see_is_read_so_far() -> None:
    style = "<style>" + "a{} " * 10_000 + "</style>"
    seen = rules(text="t", html=style + "Come on 3/4")
    unseen = rules(text="t", html="x " * 8_200 + "Come on 3/4")

    assert seen == ["text.abbreviation"]
    assert unseen == []


def test_links_of_all_html_are_read() -> None:
    page = "<p>word</p>" * 5_500 + '<a href="http://example.com/">x</a>'

    assert rules(text="t", html=page) == ["link.http"]


HOSTILE = (
    "a",
    "<",
    "<b>",
    "a.",
    "1/",
    "1",
    "{{",
    "%(",
    "http://a.b/ ",
    "href=",
    "<!--",
    "【",
    "k5 ",
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_with_the_text_and_not_faster(piece: str) -> None:
    def seconds(size: int) -> float:
        text = (piece * size)[:size]
        content = wire.Content(subject="s", text=text, html=text)
        began = time.process_time()
        LINTER.check(Sample(wire.Channel.EMAIL, content), {})
        return time.process_time() - began

    quarter = min(seconds(LONG // 8) for _ in range(5))

    assert min(seconds(LONG) for _ in range(3)) < 24 * quarter + 0.02
