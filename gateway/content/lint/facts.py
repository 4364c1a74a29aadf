"""What people need of a text: whether it comes first, and whether they can read it.

The *lead* is what a phone shows of a text at a glance: its first line without the signature, up to
`lint.lead` columns, of a push and a mail the title or subject as well. The *core* of a message is
the value of a variable in `lint.core`, or something that reads as an amount, a code, a time or a
date. A text without any has nothing to move, and is let be.
"""

import re
from collections.abc import Iterator

from gateway.content.lint.lists import Lists
from gateway.content.lint.sample import Sample, cut
from gateway.content.lint.words import Folded
from gateway.model.lint import Finding, Rule, Severity

#: Amounts, shares, codes, times of day, dates and weekdays. Each part is bounded.
_FACT = re.compile(
    r"[¥￥$€£]\s?\d"
    r"|\d\s?(?:[元折%]|(?:CNY|RMB|USD|EUR|GBP|HKD|yuan|dollars|euros)\b)"
    r"|(?:CNY|RMB|USD|EUR|GBP|HKD)\s?\d"
    r"|(?<!\d)\d{4,12}(?!\d)"
    r"|\b[A-Z]{1,4}-?\d{3,12}\b"
    r"|(?<!\d)\d{1,2}[:：]\d{2}(?!\d)|(?<!\d)\d{1,2}\s?(?:[ap]m\b|[点时月])"
    r"|(?<!\d)\d{1,2}\s(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r"|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?\s\d"
    r"|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|(?:周|星期)[一二三四五六日天]",
    re.I | re.A,  # words end where Chinese begins
)
_SIGNED = re.compile(r"\s{0,16}(?:【[^【】]{1,40}】|\[[^\[\]]{1,40}\])")

#: 3/4 may be March or April; with a day over 12 there is no doubt.
_DATE = re.compile(r"(?<![\d/.])(\d{1,2})/(\d{1,2})(?:/(?:\d{4}|\d{2}))?(?![\d/])", re.A)
_MONTHS = 12
#: 5k, 3w: thousands and ten thousands, of what? The letter is looked for first: it is rarer.
_SHORT = re.compile(r"[kKwW](?<=\d.)(?!\w)", re.A)
_NUMBER = re.compile(r"(?<![\w.])\d{1,9}(?:\.\d{1,4})?\Z", re.A)
_LONGEST_NUMBER = 16
#: 3万, and no word of what: yuan, points, people.
_BARE_WAN = re.compile(r"\d\s?万(?!\w)")

_PLACEHOLDER = re.compile(
    r"\{\{[^{}]{0,100}\}\}|\{%[^{}]{0,100}%\}|\$\{[\w.]{1,64}\}|%\(\w{1,64}\)s|%\{\w{1,64}\}"
    r"|<%[^<>]{0,100}%>|\[object Object\]"
)
#: With one of which each of them begins: most texts have none.
_OPENINGS = ("{{", "{%", "${", "%(", "%{", "<%", "[object")

#: Characters of a text in which its core is looked for.
_CORE_WITHIN = 4 * 1024


def lead(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`text.lead`: what the message is about stands only after its lead."""
    read = sample.read
    text = read.get("text") or read.get("html", "")
    head = read.get("title", "") or read.get("subject", "")
    signed = _SIGNED.match(text)
    body = text[signed.end() :].lstrip() if signed else text.lstrip()
    first = cut(body.partition("\n")[0], lists.limits.lead)
    at = _core(body, sample)
    if at is None or at < len(first) or _core(head, sample) is not None:
        return
    yield sample.find(
        Rule.LEAD,
        "text" if "text" in read else "html",
        Severity.WARNING,
        "says what matters (code, amount, time) only after its first words",
        f"put it within the first line and its first {lists.limits.lead} columns",
    )


def _core(text: str, sample: Sample) -> int | None:
    """Where the first part of the core begins; None where there is none."""
    text = text[:_CORE_WITHIN]
    found = _FACT.search(text)
    places = [found.start()] if found else []
    places += [at for fact in sample.facts if (at := text.find(fact)) >= 0]
    return min(places, default=None)


def abbreviation(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`text.abbreviation`: shortened where it must be clear: times, amounts, what it is about."""
    for field, plain in sample.unlinked.items():
        for message, hint in _shortened(plain):
            yield sample.find(Rule.ABBREVIATION, field, Severity.WARNING, message, hint)
        is_whole = len(plain) == len(sample.read[field])
        folded = sample.folded[field] if is_whole else Folded(plain)
        for word in lists.abbreviations.find(folded)[:3]:
            full = lists.abbreviations.note(word)
            yield sample.find(
                Rule.ABBREVIATION,
                field,
                Severity.WARNING,
                f'has "{word}", which not everybody reads',
                f'write "{full}"' if full else "write the whole word",
            )


def _shortened(text: str) -> Iterator[tuple[str, str]]:
    for found in _DATE.finditer(text) if "/" in text else ():
        first, second = int(found[1]), int(found[2])
        if first != second and 0 < first <= _MONTHS and 0 < second <= _MONTHS:
            yield (
                "has a date of two numbers, which is another day in other countries",
                "name the month: 3 April, 4月3日",
            )
            break
    if any(_NUMBER.search(_before(text, found.start())) for found in _SHORT.finditer(text)):
        yield "has an amount that ends in k or w", "write the number in full"
    if "万" in text and _BARE_WAN.search(text):
        yield "has 万 without a unit", "write of what: 3万元, or the number in full"


def _before(text: str, end: int) -> str:
    """As much of the text before a place as can be a number."""
    return text[max(0, end - _LONGEST_NUMBER) : end]


def placeholder(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`text.placeholder`: something that should have been filled in."""
    for field, text in sample.read.items():
        if any(one in text for one in _OPENINGS) and _PLACEHOLDER.search(text):
            yield sample.find(
                Rule.PLACEHOLDER,
                field,
                Severity.WARNING,
                "holds a placeholder that was not filled in",
                "use a template of the gateway, or fill it in before",
            )
