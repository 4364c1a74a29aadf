"""What an SMS costs, and what carriers want to see in it."""

import re
from collections.abc import Iterator

from gateway.content import sms
from gateway.content.lint.lists import Lists
from gateway.content.lint.sample import Sample, is_chinese
from gateway.model.lint import Finding, Rule, Severity

#: Characters of one part in UCS-2, and everywhere in mainland China (TS 23.038 §4).
_ONE_PART = 70

#: A name in brackets at either end, as mainland carriers demand of every SMS.
_SIGNATURE = re.compile(r"\A\s{0,16}【[^【】]{1,40}】|【[^【】]{1,40}】\s{0,16}\Z")

#: How people are told that they can refuse.
_REFUSAL = re.compile(r"\b(?:stop|unsub(?:scribe)?|opt[ -]?out)\b|退订|拒收", re.I | re.A)

#: At most so many characters outside the GSM alphabet can be meant to be replaced.
_FEW = 4


def parts(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`sms.parts`: more parts than `lint.sms_parts`."""
    text = sample.fields.get("text", "")
    found, limit = sms.count(text, china=sample.is_china), lists.limits.sms_parts
    if found > limit:
        yield sample.find(
            Rule.SMS_PARTS,
            "text",
            Severity.WARNING,
            f"takes {found} parts, more than {limit}; each is paid for",
            "shorten it, or say the rest by email or behind a link",
        )


def length(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`sms.length`: over 70 characters where 70 fit, or wide for the sake of few characters."""
    text = sample.fields.get("text", "")
    if len(text) <= _ONE_PART:
        return
    measured = sms.measure(text, china=sample.is_china)
    if measured.alphabet is sms.Alphabet.GSM7:
        return
    count = len(measured.parts)
    yield sample.find(
        Rule.SMS_LENGTH,
        "text",
        Severity.HINT,
        f"has {measured.units} characters, where {_ONE_PART} fit into one part; takes {count}",
        _why_wide(text, sample) or f"{measured.units - _ONE_PART} characters fewer make it one",
    )


def _why_wide(text: str, sample: Sample) -> str:
    """Which few characters cost an SMS the GSM alphabet, by their numbers."""
    if sample.is_china or is_chinese(text):
        return ""
    foreign = sorted({one for one in text if not sms.is_gsm(one)})
    if len(foreign) > _FEW:
        return ""
    names = ", ".join(f"U+{ord(one):04X}" for one in foreign)
    return f"160 would fit without {names}; see `rewrite` of its lane"


def signature(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`sms.signature`: none for +86, neither in the text nor by lane or provider."""
    text = sample.fields.get("text", "")
    if not text or not sample.is_china or sample.is_signed:
        return
    if _SIGNATURE.search(text):
        return
    yield sample.find(
        Rule.SMS_SIGNATURE,
        "text",
        Severity.ERROR,
        "has no signature in 【】, which carriers of mainland China demand",
        "set `sms.sign` of its lane, or begin the text with the registered name in 【】",
    )


def opt_out(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`sms.opt_out`: marketing that does not say how to refuse more."""
    text = sample.fields.get("text", "")
    if not text or not sample.is_marketing or sample.is_refusable:
        return
    if _REFUSAL.search(text):
        return
    yield sample.find(
        Rule.SMS_OPT_OUT,
        "text",
        Severity.ERROR,
        "does not say how to refuse more of its kind",
        "set `unsubscribe` of its category, or end with 拒收请回复R or Reply STOP to opt out",
    )
