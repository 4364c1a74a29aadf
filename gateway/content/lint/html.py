"""As much of HTML as rules need: visible text, addresses of links, tags that were left open.

No parser: mails hold what no standard allows. Each look goes over the text once, whatever it is.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple


class Tag(NamedTuple):
    name: str
    is_end: bool
    #: what stands between the name and the bracket
    rest: str


#: Elements whose content nobody reads.
_UNSEEN = (
    ("<!--", "-->"),
    ("<style", "</style>"),
    ("<script", "</script>"),
    ("<head>", "</head>"),
)

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,31})([^<>]*)>")
_ANY = re.compile(r"<[^<>]*>")
_ADDRESS = re.compile(
    r"""(?<![\w-])(?:href|src|action|background)\s{0,8}=\s{0,8}["']?([^"'<>\s]{1,2048})""", re.I
)
_BLANKS = re.compile(r"[^\S\n]+")
_BREAK = re.compile(r"<(?:br|/?p|/?div|/?tr|/?li|/?h[1-6])\b[^<>]*>", re.I)


def visible(text: str) -> str:
    """What a reader sees, a line a block."""
    text = _BREAK.sub("\n", _seen(text))
    return _BLANKS.sub(" ", unescape(_ANY.sub(" ", text)))


def addresses(text: str) -> Iterator[str]:
    """Where links lead and pictures come from."""
    for found in _ADDRESS.finditer(_without(text, "<!--", "-->")):
        yield unescape(found[1])


def tags(text: str) -> Iterator[Tag]:
    """Tags in order; those in comments, styles and scripts are none."""
    for pair in _UNSEEN[:3]:
        text = _without(text, *pair)
    for found in _TAG.finditer(text):
        yield Tag(found[2].lower(), bool(found[1]), found[3])


def _seen(text: str) -> str:
    for pair in _UNSEEN:
        text = _without(text, *pair)
    return text


def _without(text: str, start: str, end: str) -> str:
    """Less everything from each `start` to the `end` after it; one that has no end stays."""
    lower = text.lower() if len(text.lower()) == len(text) else text
    kept: list[str] = []
    at = 0
    while (begin := lower.find(start, at)) >= 0:
        stop = lower.find(end, begin + len(start))
        if stop < 0:
            break
        kept.append(text[at:begin])
        at = stop + len(end)
    return "".join([*kept, text[at:]])
