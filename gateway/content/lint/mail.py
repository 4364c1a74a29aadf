"""Email and push: subjects, HTML, and what phones cut off."""

import re
from collections.abc import Iterable, Iterator

from gateway.content.lint import html
from gateway.content.lint.lists import Lists
from gateway.content.lint.sample import Sample, columns
from gateway.content.lint.words import LONGEST
from gateway.model.lint import Finding, Rule, Severity

#: Octets of a line that every program shows (RFC 5322 §2.1.1), and columns that phones show.
_SUBJECT_OCTETS, _SUBJECT_COLUMNS = 78, 50

#: Letters from which on capitals are more than an abbreviation.
_LOUD_LETTERS = 8
_MARKS = re.compile("[!！]")
_MOST_MARKS = 1

#: Elements that mails are made of and whose end may not be left out (HTML Standard §13.1.2.4).
_PAIRED = frozenset(
    {"a", "abbr", "b", "big", "blockquote", "button", "center", "code", "del", "div", "em", "font"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "i", "ins", "ol", "pre", "s", "section", "small", "span"}
    | {"strike", "strong", "sub", "sup", "table", "title", "u", "ul"}
)
_ALT = re.compile(r"\balt\s{0,8}(?:=|\Z|/|\s)")
#: Tags of one mail that can stand open within each other.
_DEEPEST = 256


def subject_missing(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`email.subject_missing`: empty, or nothing but blanks."""
    has_body = "text" in sample.fields or "html" in sample.fields
    if has_body and not sample.fields.get("subject", "").strip():
        yield sample.find(
            Rule.SUBJECT_MISSING,
            "subject",
            Severity.WARNING,
            "is empty, which filters and readers distrust",
            "say in a few words what it is about",
        )


def subject_length(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`email.subject_length`: over 78 octets, or longer than phones show."""
    text = sample.fields.get("subject", "")
    octets, shown = len(text.encode("utf-8", "replace")), columns(text)
    severity = None
    if octets > _SUBJECT_OCTETS:
        severity, said = (
            Severity.WARNING,
            f"takes {octets} octets, where {_SUBJECT_OCTETS} are safe",
        )
    elif shown > _SUBJECT_COLUMNS:
        severity, said = Severity.HINT, f"is {shown} columns wide, phones show {_SUBJECT_COLUMNS}"
    if severity is not None:
        yield sample.find(
            Rule.SUBJECT_LENGTH, "subject", severity, said, "shorten it, what matters first"
        )


def subject_loud(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`email.subject_loud`: all in capitals, or more than one exclamation mark."""
    text = sample.fields.get("subject", "")
    if text.isupper() and sum(one.isupper() for one in text) >= _LOUD_LETTERS:
        yield sample.find(
            Rule.SUBJECT_LOUD,
            "subject",
            Severity.WARNING,
            "is all in capitals",
            "write it as a sentence",
        )
    if (marks := len(_MARKS.findall(text))) > _MOST_MARKS:
        yield sample.find(
            Rule.SUBJECT_LOUD,
            "subject",
            Severity.WARNING,
            f"has {marks} exclamation marks",
            "one is enough, none is better",
        )


def no_text(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`email.no_text`: HTML alone."""
    if "html" in sample.fields and not sample.fields.get("text", "").strip():
        yield sample.find(
            Rule.NO_TEXT,
            "text",
            Severity.WARNING,
            "is missing beside the HTML: filters mind, and some readers see nothing",
            "say the same in `text`",
        )


def unclosed(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`email.tags`: tags that are opened and not closed, or the other way round."""
    text = sample.fields.get("html", "")
    if len(text) == LONGEST:  # cut, so that ends are missing
        return
    names = _unbalanced(sample.markup.tags())
    if names:
        said = ", ".join(f"<{name}>" for name in sorted(names)[:3])
        yield sample.find(
            Rule.TAGS,
            "html",
            Severity.HINT,
            f"has tags that do not match: {said}",
            "open and close each within the other",
        )


def _unbalanced(tags: Iterable[html.Tag]) -> set[str]:
    """Names of tags without their match."""
    still_open: list[str] = []
    wrong: set[str] = set()
    for name, is_end, rest in tags:
        if name not in _PAIRED or rest.endswith("/"):
            continue
        if not is_end:
            if len(still_open) == _DEEPEST:
                return wrong
            still_open.append(name)
        elif name not in still_open:
            wrong.add(name)
        else:
            while (last := still_open.pop()) != name:
                wrong.add(last)
    return wrong.union(still_open)


def no_alt(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`email.alt`: pictures that say nothing where they are not shown."""
    bare = sum(not _ALT.search(one) for one in sample.markup.pictures())
    if bare:
        what = "a picture has" if bare == 1 else f"{bare} pictures have"
        yield sample.find(
            Rule.ALT,
            "html",
            Severity.HINT,
            f"{what} no alt text, and many programs show none unasked",
            'say what is on it in alt="…", or alt="" if it says nothing',
        )


def push_length(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`push.length`: titles and texts that phones cut."""
    title = "title" if "title" in sample.fields else "subject"
    limits = lists.limits
    for field, limit in ((title, limits.push_title), ("text", limits.push_text)):
        width = columns(sample.fields.get(field, ""))
        if width > limit:
            yield sample.find(
                Rule.PUSH_LENGTH,
                field,
                Severity.HINT,
                f"is {width} columns wide, phones show about {limit}",
                "shorten it, or say what matters first",
            )
