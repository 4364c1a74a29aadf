"""As much of HTML as rules need: visible text, addresses of links, tags that were left open.

No parser: mails hold what no standard allows. Each look goes over the text once, whatever it is.
"""

import re
from collections.abc import Iterator
from functools import cached_property
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
_PICTURE = re.compile(r"<img(?![a-z0-9])([^<>]*)>")
_ANY = re.compile(r"<[^<>]*>")
#: Of text in lower case: to leave case to the expression takes three times as long.
_ADDRESS = re.compile(
    r"""(?:href|src|action|background)(?<![\w-]href)(?<![\w-]src)(?<![\w-]action)"""
    r"""(?<![\w-]background)\s{0,8}=\s{0,8}["']?([^"'<>\s]{1,2048})"""
)
_BLANKS = re.compile(r"[^\S\n]{2,}|[^\S\n ]")
_BREAK = re.compile(r"</?(?:[Bb][Rr]|[PpHh][1-6]?|[Dd][Ii][Vv]|[Tt][Rr]|[Ll][Ii])\b[^<>]*>")


class Markup:
    """HTML, and what is derived from it more than once."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def visible(self) -> str:
        """What a reader sees, a line a block."""
        text = self._bare
        for pair in _UNSEEN[1:]:
            text = _without(text, *pair)
        text = _ANY.sub(" ", _BREAK.sub("\n", text))
        return _BLANKS.sub(" ", unescape(text) if "&" in text else text)

    def addresses(self) -> Iterator[str]:
        """Where links lead and pictures come from, in lower case."""
        for found in _ADDRESS.finditer(self._bare.lower()):
            yield unescape(found[1]) if "&" in found[1] else found[1]

    def tags(self) -> Iterator[Tag]:
        """Tags in order; those in comments, styles and scripts are none."""
        for found in _TAG.finditer(self._spoken):
            yield Tag(found[2].lower(), bool(found[1]), found[3])

    def pictures(self) -> Iterator[str]:
        """What stands in the tags of pictures, in lower case."""
        for found in _PICTURE.finditer(self._spoken.lower()):
            yield found[1]

    @cached_property
    def _bare(self) -> str:
        """Less comments."""
        return _without(self._text, *_UNSEEN[0])

    @cached_property
    def _spoken(self) -> str:
        """Less styles and scripts as well."""
        text = self._bare
        for pair in _UNSEEN[1:3]:
            text = _without(text, *pair)
        return text


def _without(text: str, start: str, end: str) -> str:
    """Less everything from each `start` to the `end` after it; one that has no end stays."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = text
    kept: list[str] = []
    at = 0
    while (begin := lower.find(start, at)) >= 0:
        stop = lower.find(end, begin + len(start))
        if stop < 0:
            break
        kept.append(text[at:begin])
        at = stop + len(end)
    return "".join([*kept, text[at:]]) if kept else text[at:]
