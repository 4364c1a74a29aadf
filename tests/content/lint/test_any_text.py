"""Whatever a text holds: no rule raises, repeats it, or takes longer than its size warrants."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.content.lint import html
from gateway.content.lint.linter import Linter
from gateway.content.lint.sample import Sample, columns, cut
from gateway.content.lint.words import LONGEST
from gateway.model import wire
from gateway.model.lint import Finding
from gateway.settings import LintSettings

LINTER = Linter(LintSettings(domains=("example.com",)))

#: What rules look for, in pieces.
PIECES = (
    *("http://", "https://", "www.", "bit.ly/", "a.b.", "@", "xn--", '<a href="', "<img ", "<!--"),
    *("-->", "<style>", "</style>", "<b>", "</b>", "<", ">", "&amp;", "{{", "}}", "${", "【", "】"),
    *("[", "]", "3/4", "14:30", "¥128", "834201", "tmrw", "优惠券", "验证码", "STOP", "\n", " "),
    *("万", "元", "ﷺ", "ẞ", "İ", "😀", "\ud800", "\x00", "e\u0301", "%(", ")s", "Jan", ".", "-"),
    *("!", "！"),
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=40).map("".join)


def look(channel: wire.Channel, content: wire.Content, **fields: bool) -> list[Finding]:
    sample = Sample(
        channel, content, facts=("834201",), domains=frozenset({"example.com"}), **fields
    )
    return list(LINTER.check(sample, {}))


@settings(max_examples=300, deadline=None)
@given(
    channel=st.sampled_from(list(wire.Channel)),
    text=TEXTS,
    subject=TEXTS,
    page=TEXTS,
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_no_text_makes_a_rule_raise(
    channel: wire.Channel, text: str, subject: str, page: str, flags: tuple[bool, bool]
) -> None:
    content = wire.Content(
        text=text,
        subject=subject,
        title=subject,
        html=page,
        extra={"link": page, "image": 5},
        provider_templates={"x": {"a": [text, {"b": None}], subject: 1}},
    )

    found = look(channel, content, is_china=flags[0], is_marketing=flags[1])

    assert len(found) <= 100
    assert all(one.message and one.hint for one in found)


@pytest.mark.parametrize("piece", [*PIECES, "<a ", "<a '\">", "a.", "a-", "1,", "http://a.", "<b"])
@pytest.mark.parametrize("channel", [wire.Channel.SMS, wire.Channel.EMAIL])
def test_time_grows_with_the_text_alone(channel: wire.Channel, piece: str) -> None:
    text = (piece * LONGEST)[:LONGEST]  # minutes, where a rule tries all ways to read it

    found = look(channel, wire.Content(text=text, subject=text, title=text, html=text))

    assert len(found) <= 100


def test_what_lies_beyond_the_bound_is_not_looked_at() -> None:
    within = look(wire.Channel.EMAIL, wire.Content(subject="x", text="x " * 1000 + "tmrw"))
    beyond = look(wire.Channel.EMAIL, wire.Content(subject="x", text="x " * LONGEST + "tmrw"))

    assert len(within) == 1
    assert beyond == []


def test_messages_never_repeat_what_is_private() -> None:
    secret = "zq" * 8
    content = wire.Content(
        subject=f"{secret}!!",
        text=f"{POLITE} tmrw http://{secret}.bit.ly/{secret}?{secret} {{{{ {secret} }}}} 验证码",
        html=f"<{secret}><b><img src='https://{secret}.net/'>",
    )

    found = look(wire.Channel.EMAIL, content, is_marketing=True)

    assert len(found) > 6
    assert [one for one in found if secret in (one.message + one.hint).lower()] == []


POLITE = "Dear customer, thank you very much for your trust in our services. At 14:30"


@given(text=TEXTS, width=st.integers(0, 100))
def test_cut_is_the_longest_beginning_that_fits(text: str, width: int) -> None:
    short = cut(text, width)

    assert text.startswith(short)
    assert columns(short) <= width
    assert short == text or columns(text[: len(short) + 1]) > width


@pytest.mark.parametrize(
    ("page", "seen"),
    [
        ("<p>a</p><p>b</p>", "\na\n\nb\n"),
        ("a<br/>b&lt;c&gt;", "a\nb<c>"),
        ("a<!-- b -->c<STYLE>d</STYLE>e", "ace"),
        ("a<!-- b", "a<!-- b"),
        ("a &nbsp; b", "a b"),
    ],
)
def test_visible_text_is_what_a_reader_sees(page: str, seen: str) -> None:
    assert html.Markup(page).visible == seen
