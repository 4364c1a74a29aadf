"""Content of one channel: put together and checked, whether a template made it or the caller."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, TypeAlias

from gateway.content import attachments, chats, pushes, sms
from gateway.model import wire

#: Characters that one text may come to.
TEXT_LIMIT: Final = 64 * 1024
#: The same of an email's text and html.
EMAIL_LIMIT: Final = 1024 * 1024

#: Fields that every channel knows.
TEXTS: Final = frozenset({"text", "subject", "title", "html"})
_HEADERS = frozenset({"subject", "title"})
_CHANNELS = frozenset(wire.Channel)


class ContentFault(ValueError):
    """`field` cannot be sent, such as `subject` or `sms.text`; the reason holds no value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def limit_of(channel: wire.Channel, field: str) -> int:
    """Longest text of a field, in characters."""
    long = channel is wire.Channel.EMAIL and field in ("text", "html")
    return EMAIL_LIMIT if long else TEXT_LIMIT


def from_content(
    content: Mapping[str, Any], channel: wire.Channel, kinds: Collection[str] | None = None
) -> wire.Content:
    """What a posted content says on one channel. Raises ContentFault.

    Its texts are for all channels; those under a channel's name take their place there. Other
    tables are provider kinds' own templates; so is one under a channel's name with `template`.

    kinds: those whose tables count, as in `TemplateSet`.
    """
    if content.keys() <= TEXTS:
        return build(channel, content, {})
    fields, tables = {}, {}
    for key, value in content.items():
        if key in TEXTS:
            fields[key] = value
        elif key not in _CHANNELS and (kinds is None or key in kinds):
            tables[key] = _table(key, value)
    if channel not in content:
        return build(channel, fields, tables)
    own = _table(channel, content[channel])
    if "template" in own:
        if kinds is None or channel in kinds:
            tables[channel] = {key: value for key, value in own.items() if key not in TEXTS}
        own = {key: value for key, value in own.items() if key in TEXTS}
    try:
        return build(channel, {**fields, **own}, tables)
    except ContentFault as fault:
        is_own = fault.field.partition("[")[0] in own
        where = f"{channel}.{fault.field}" if is_own else fault.field
        raise ContentFault(where, fault.reason) from None


def kinds_of(content: Mapping[str, Any]) -> Iterator[str]:
    """The provider kinds that a posted content has tables for, as it calls them."""
    for key, value in content.items():
        if key in _CHANNELS:
            if isinstance(value, Mapping) and "template" in value:
                yield key
        elif key not in TEXTS:
            yield key


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ContentFault(name, "not an object")
    return value


def build(
    channel: wire.Channel,
    fields: Mapping[str, Any],
    provider_templates: Mapping[str, Mapping[str, Any]],
) -> wire.Content:
    """Texts are checked, HTML goes by email only, an SMS is composed (see `sms.normalise`).

    fields: `text`, `subject`, `title`, `html` and what the channel has of its own.
    """
    checked: dict[str, str] = {}
    extra: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in TEXTS:
            extra[key] = value
            if key == "attachments":
                _check_attachments(channel, value)
        elif key != "html" or channel is wire.Channel.EMAIL:
            checked[key] = _check(channel, key, value)
    if channel is wire.Channel.SMS and "text" in checked:
        checked["text"] = sms.normalise(checked["text"])
    if extra and (check := _VOCABULARIES.get(channel)) is not None:
        extra = dict(_check_extra(check, extra))
    return wire.Content(**checked, extra=extra, provider_templates=provider_templates)


_Check: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]

#: Channels whose services share what messages may say beside their texts.
_VOCABULARIES: Final[Mapping[wire.Channel, _Check]] = {
    wire.Channel.PUSH: pushes.check,
    wire.Channel.CHAT: chats.check,
    wire.Channel.WECOM: chats.check,
}


def _check_extra(check: _Check, extra: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return check(extra)
    except pushes.PushFault as fault:
        raise ContentFault(fault.field, fault.reason) from None


def _check_attachments(channel: wire.Channel, value: Any) -> None:
    if channel is not wire.Channel.EMAIL:
        raise ContentFault("attachments", "only email carries files")
    try:
        attachments.read(value)
    except attachments.AttachmentFault as fault:
        raise ContentFault(fault.field, fault.reason) from None


def _check(channel: wire.Channel, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ContentFault(key, "not a text")
    if "\0" in value:
        raise ContentFault(key, "holds NUL")
    if key in _HEADERS and ("\r" in value or "\n" in value):
        raise ContentFault(key, "holds a line break, and it is a header")
    if len(value) > (limit := limit_of(channel, key)):
        raise ContentFault(key, f"longer than {limit} characters")
    return value


def is_empty(content: wire.Content) -> bool:
    """Whether there is nothing to send; a subject alone is something."""
    return not (
        content.text
        or content.html
        or content.subject
        or content.title
        or content.extra
        or content.provider_templates
    )
