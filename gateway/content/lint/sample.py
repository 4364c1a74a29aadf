"""What rules look at: the content of one channel, as it would go out, with what they must know."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, TypeAlias

from gateway.content.lint import html
from gateway.content.lint.words import LONGEST, Folded
from gateway.model import wire
from gateway.model.lint import Finding, Rule, Severity

#: Entries and depth of a provider's own table that are looked at.
_TABLE_ENTRIES, _TABLE_DEPTH = 200, 4

#: Characters of each text that people read which are looked at; of HTML, of what is left without
#: tags. Nobody reads as many, and no sign of trouble waits until then.
_MOST_READ = 16 * 1024

_FIELDS = ("title", "subject", "text", "html")
#: Values of a channel's own that are links.
_LINKS = ("link", "image")
_URL = re.compile(r"https?://[^\s<>\"'，。；！？、）】」]{1,2048}", re.I)
_WIDE = frozenset("WF")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")

Texts: TypeAlias = Mapping[str, str]


class Sample:
    """The content of one channel, cut to what is looked at. Derived texts are made once."""

    def __init__(
        self,
        channel: wire.Channel,
        content: wire.Content,
        *,
        is_marketing: bool = False,
        is_china: bool = False,
        is_signed: bool = False,
        is_refusable: bool = False,
        facts: tuple[str, ...] = (),
        domains: frozenset[str] = frozenset(),
    ) -> None:
        """is_signed: its providers put a signature to it. is_refusable: and how to refuse more.

        facts: values of variables that are the core. domains: where its links may lead; empty:
        anywhere.
        """
        self.channel = channel
        self.content = content
        self.is_marketing = is_marketing
        self.is_china = is_china
        self.is_signed = is_signed
        self.is_refusable = is_refusable
        self.facts = facts
        self.domains = domains

    @cached_property
    def fields(self) -> Texts:
        """What is said by field; those that are not empty."""
        found = {name: getattr(self.content, name)[:LONGEST] for name in _FIELDS}
        return {name: text for name, text in found.items() if text}

    @property
    def size(self) -> int:
        """Characters that are looked at, but for what providers' own tables hold."""
        return sum(map(len, self.fields.values()))

    @cached_property
    def read(self) -> Texts:
        """What people read, by field: HTML without its tags, and providers' own tables."""
        made = dict(self.fields)
        if "html" in made:
            made["html"] = self.markup.visible
        for kind, table in self.content.provider_templates.items():
            made.update(_texts(kind, table))
        return {name: text[:_MOST_READ] for name, text in made.items()}

    @cached_property
    def markup(self) -> html.Markup:
        """Its HTML."""
        return html.Markup(self.fields.get("html", ""))

    @cached_property
    def unlinked(self) -> Texts:
        """`read` less links, whose digits and words mean nothing to people."""
        return {
            name: _URL.sub(" ", text) if "://" in text else text for name, text in self.read.items()
        }

    @cached_property
    def folded(self) -> Mapping[str, Folded]:
        """`read` as words are looked for in it."""
        return {name: Folded(text) for name, text in self.read.items()}

    def urls(self, field: str) -> Iterator[str]:
        """Those that stand in what is read of a field."""
        text = self.read[field]
        return (found[0] for found in _URL.finditer(text)) if "://" in text else iter(())

    @cached_property
    def targets(self) -> Texts:
        """What the channel itself says is a link, by field."""
        extra = self.content.extra
        return {name: extra[name][:2048] for name in _LINKS if isinstance(extra.get(name), str)}

    def find(
        self, rule: Rule, field: str, severity: Severity, message: str, hint: str = ""
    ) -> Finding:
        """A finding of this sample."""
        return Finding(
            rule=rule,
            channel=self.channel.value,
            field=field,
            severity=severity,
            message=message,
            hint=hint,
        )


def columns(text: str) -> int:
    """How wide a text is: Chinese characters take two columns."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(one) in _WIDE else 1 for one in text)


def cut(text: str, width: int) -> str:
    """The beginning of the text that fits into so many columns."""
    text = text[:width]
    if text.isascii():
        return text
    left = width
    for at, one in enumerate(text):
        left -= 2 if unicodedata.east_asian_width(one) in _WIDE else 1
        if left < 0:
            return text[:at]
    return text


def is_chinese(text: str) -> bool:
    """Whether it has a Chinese character."""
    return _HAN.search(text) is not None


def _texts(kind: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Texts of a provider's own table by their path, the outermost first."""
    level: list[tuple[str, Any]] = [(kind, table)]
    left = _TABLE_ENTRIES
    for _ in range(_TABLE_DEPTH):
        deeper: list[tuple[str, Any]] = []
        for path, value in level:
            for name, one in _entries(value):
                left -= 1
                if left < 0:
                    return
                if isinstance(one, str) and one:
                    yield f"{path}.{name}", one[:LONGEST]
                else:
                    deeper.append((f"{path}.{name}", one))
        level = deeper


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(key)[:64], one) for key, one in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(at), one) for at, one in enumerate(value))
