"""What Mailgun checks in a request to send mail, how it words refusals, and what it fills in.

https://documentation.mailgun.com/docs/mailgun/api-reference and, for batches,
https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/batch-sending
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any, TypeAlias

import orjson

from gateway.sandbox.mailboxes import is_address

Variables: TypeAlias = Mapping[str, Mapping[str, Any]]

MAX_RECIPIENTS = 1000
_MAX_OPTIONS = 16 * 1024
_MAX_TAGS = 3
_YES_NO = frozenset({"yes", "no", "true", "false", "True", "False", "htmlonly"})
_SWITCHES = frozenset({"o:dkim", "o:testmode", "o:tracking", "o:tracking-clicks"}) | frozenset(
    {"o:tracking-opens", "o:require-tls", "o:skip-verification"}
)
_PLACE = re.compile(r"%recipient\.([^%\s]{1,60})%")
_HEADER = re.compile(r"[ -~]*")
_NAME = re.compile(r"[!-9;-~]+")


def bad_address(kind: str) -> str:
    return f"'{kind}' parameter is not a valid address. please check documentation"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a request; names may repeat."""

    fields: Sequence[tuple[str, str]]

    def first(self, name: str) -> str:
        return next((value for key, value in self.fields if key == name), "")

    def every(self, name: str) -> Sequence[str]:
        return [value for key, value in self.fields if key == name]

    def named(self, prefix: str) -> Mapping[str, str]:
        """The last of each name with the prefix, without it."""
        return {
            key.removeprefix(prefix): value
            for key, value in self.fields
            if key.startswith(prefix) and key != prefix
        }

    def mailboxes(self, kind: str) -> Sequence[str]:
        """Addresses of `to`, `cc` or `bcc`; what cannot be read as one stays as it is."""
        found: list[str] = []
        for value in self.every(kind):
            pairs = getaddresses([value])
            found += [address or value for _, address in pairs] or [value]
        return found

    def variables(self) -> Variables | None:
        """`recipient-variables`: by address; None without them or when they are unreadable."""
        try:
            value = orjson.loads(self.first("recipient-variables"))
        except orjson.JSONDecodeError:
            return None
        good = isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())
        return value if good else None


def fault(form: Form) -> str:
    """The first thing wrong with a request; empty when nothing is."""
    return next((text for check in _CHECKS if (text := check(form))), "")


def _senders(form: Form) -> str:
    if not form.first("from"):
        return "from parameter is missing"
    [*_, (_, address)] = getaddresses([form.first("from")]) or [("", "")]
    return "" if is_address(address) else bad_address("from")


def _recipients(form: Form) -> str:
    if not form.every("to"):
        return "to parameter is missing"
    everybody = 0
    for kind in ("to", "cc", "bcc"):
        mailboxes = form.mailboxes(kind)
        if not all(map(is_address, mailboxes)):
            return bad_address(kind)
        everybody += len(mailboxes)
    return f"Too many recipients, max is {MAX_RECIPIENTS}" if everybody > MAX_RECIPIENTS else ""


def _content(form: Form) -> str:
    if any(form.first(name) for name in ("text", "html", "template", "amp-html")):
        return ""
    return "Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified"


def _options(form: Form) -> str:
    pairs = [(key, value) for key, value in form.fields if key[:2] in ("o:", "h:", "v:", "t:")]
    if sum(len(key) + len(value.encode()) for key, value in pairs) > _MAX_OPTIONS:
        return "o:, h:, v: and t: parameters are limited to 16 kB"
    for key, value in pairs:
        if key in _SWITCHES and value not in _YES_NO:
            return f"{key} parameter must be yes or no"
        if key.startswith("h:") and not (_NAME.fullmatch(key[2:]) and _HEADER.fullmatch(value)):
            return f"{key} header is not ASCII"
    if len(form.every("o:tag")) > _MAX_TAGS:
        return f"at most {_MAX_TAGS} tags"
    return ""


def _dates(form: Form) -> str:
    value = form.first("o:deliverytime")
    try:
        return "" if not value or parsedate_to_datetime(value) else "o:deliverytime"
    except ValueError:
        return "o:deliverytime is not a valid RFC 2822 date"


def _variables(form: Form) -> str:
    if form.first("recipient-variables") and form.variables() is None:
        return "'recipient-variables' parameter is not a valid JSON of objects"
    return ""


_CHECKS: Sequence[Callable[[Form], str]] = (
    _senders,
    _recipients,
    _content,
    _options,
    _dates,
    _variables,
)


def fill(text: str, own: Mapping[str, Any] | None) -> str:
    """The text for one recipient: places that have no value stay as they are."""
    if own is None:
        return text
    return _PLACE.sub(lambda place: str(own.get(place[1], place[0])), text)
