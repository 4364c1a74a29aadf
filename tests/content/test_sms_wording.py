"""Signatures, ways to refuse, and the GSM alphabet where it saves segments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.content import sms
from gateway.content import sms_wording as wording


def test_chinese_signature_stands_first_in_its_brackets() -> None:
    assert wording.sign("您的验证码是4711", "华为云", china=True) == "【华为云】您的验证码是4711"


def test_signature_may_stand_last() -> None:
    assert wording.sign("您的验证码是4711", "华为云", china=True, last=True).endswith("【华为云】")


def test_signature_counts_with_its_brackets() -> None:
    signed = wording.sign("", "华为云", china=True)

    assert sms.measure(signed, china=True).units == 5


def test_signature_elsewhere_is_in_brackets_of_the_gsm_alphabet() -> None:
    signed = wording.sign("Your code is 4711", "Acme", china=False)

    assert signed == "[Acme] Your code is 4711"
    assert sms.measure(signed).units == len(signed) + 2


@pytest.mark.parametrize("name", ["华为云", "【华为云】", " 【 华为云 】 "])
def test_a_name_with_brackets_is_not_put_into_more(name: str) -> None:
    assert wording.sign("x", name, china=True) == "【华为云】x"


@given(
    text=st.text(max_size=20),
    name=st.sampled_from(["Acme", "华为云"]),
    china=st.booleans(),
    last=st.booleans(),
)
def test_a_text_is_signed_once(text: str, name: str, china: bool, last: bool) -> None:
    signed = wording.sign(text, name, china=china, last=last)

    assert wording.sign(signed, name, china=china, last=last) == signed
    assert text in signed
    assert name in signed


def test_another_name_in_brackets_is_no_signature() -> None:
    assert wording.sign("【重要】停电", "供电", china=True) == "【供电】【重要】停电"


def test_way_to_refuse_is_at_the_end() -> None:
    assert wording.add_opt_out("今日特价\n", wording.OPT_OUT_CHINA) == "今日特价 拒收请回复R"
    assert wording.add_opt_out("Sale today.", wording.OPT_OUT) == (
        "Sale today. Reply STOP to opt out"
    )


@pytest.mark.parametrize(
    "offer", ["拒收请回复R", "退订回T", "回T退订", "回TD退订", "退订请回复TD", "拒收回复 R"]
)
def test_a_text_that_says_how_to_refuse_is_left_alone(offer: str) -> None:
    text = f"今日特价,{offer}"

    assert wording.add_opt_out(text, wording.OPT_OUT_CHINA) == text


@pytest.mark.parametrize("text", ["您的订单已退订", "Nothing can stop us", "拒收快递请联系站点"])
def test_words_of_refusal_alone_are_no_offer(text: str) -> None:
    assert wording.add_opt_out(text, wording.OPT_OUT_CHINA).endswith(wording.OPT_OUT_CHINA)


@given(text=st.text(max_size=40), words=st.sampled_from([wording.OPT_OUT, wording.OPT_OUT_CHINA]))
def test_the_way_to_refuse_is_said_once(text: str, words: str) -> None:
    once = wording.add_opt_out(text, words)

    assert wording.add_opt_out(once, words) == once


@pytest.mark.parametrize(
    ("last", "whole"),
    [(False, "【云】特价 拒收请回复R"), (True, "特价 拒收请回复R【云】")],
)
def test_signature_is_outermost(last: bool, whole: str) -> None:
    rules = wording.Wording(
        signature="云", signature_last=last, opt_out=wording.OPT_OUT_CHINA, drop_accents=True
    )

    assert wording.compose("特价", rules, china=True) == whole


def test_without_rules_a_short_text_stays_as_it_is() -> None:
    assert wording.compose("It\u2019s 5 €", wording.Wording()) == "It\u2019s 5 €"


def test_composed_accents_are_counted_as_they_go_out() -> None:
    assert wording.compose("cafe\u0301", wording.Wording()) == "café"


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("\u2018a\u2019", "'a'"),
        ("\u201ca\u201d", '"a"'),
        ("a \u2013 b \u2014 c", "a - b - c"),
        ("wait\u2026", "wait..."),
        ("5\u00a0000", "5 000"),
        ("a\tb", "a b"),
        ("x\u200by", "xy"),
    ],
)
def test_typographic_signs_become_plain_where_that_saves_segments(typed: str, plain: str) -> None:
    filler = "a" * 100

    assert wording.shorten(filler + typed) == filler + plain


@pytest.mark.parametrize(
    ("typed", "plain"),
    [("garçon", "garcon"), ("ágil", "agil"), ("ΑΒΓ", "ABΓ"), ("`x\u00b4", "'x'"), ("łódź", "lodz")],
)
def test_accents_are_dropped_only_where_asked_for(typed: str, plain: str) -> None:
    text = "a" * 100 + typed

    assert wording.shorten(text) == text
    assert wording.shorten(text, drop_accents=True) == "a" * 100 + plain


def test_letters_that_the_alphabet_has_keep_their_accents() -> None:
    text = "a" * 70 + "é\u2019"

    assert wording.shorten(text, drop_accents=True) == "a" * 70 + "é'"


@pytest.mark.parametrize("text", ["it\u2019s", "…" * 70, "a" * 100 + "\u2019中", "a" * 100 + "😀"])
def test_a_text_that_would_save_nothing_is_not_rewritten(text: str) -> None:
    assert wording.shorten(text, drop_accents=True) == text


def test_looking_for_an_offer_to_refuse_takes_no_time_in_a_text_of_blanks() -> None:
    text = "拒收" + " " * 65_000 + "x"  # a minute, when blanks could be shared out

    assert wording.add_opt_out(text, "退订回T") == f"{text} 退订回T"


@given(text=st.text(alphabet="aé中\u2019\u2026€{ç`😀\u0391", max_size=200), accents=st.booleans())
def test_rewriting_saves_segments_or_changes_nothing(text: str, accents: bool) -> None:
    short = wording.shorten(text, drop_accents=accents)

    assert short == text or (sms.is_gsm(short) and sms.count(short) < sms.count(text))
    assert wording.shorten(short, drop_accents=accents) == short
