"""What SendGrid checks in a request to send mail, and how it words refusals.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors
"""

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from gateway.sandbox.mailboxes import is_address

Json: TypeAlias = Mapping[str, Any]

HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html"
BAD_ADDRESS = "Does not contain a valid address."

_MOST = 1000
_CUSTOM_ARGS_BYTES = 10_000
_SEND_AT_AHEAD = 72 * 3600
_RESERVED = frozenset(
    {"x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type"}
    | {"content-transfer-encoding", "to", "from", "subject", "reply-to", "cc", "bcc"}
)
_TOP = frozenset(
    {"personalizations", "from", "reply_to", "reply_to_list", "subject", "content", "attachments"}
    | {"template_id", "headers", "categories", "custom_args", "send_at", "batch_id", "asm"}
    | {"ip_pool_name", "mail_settings", "tracking_settings", "sections"}
)
_PERSONAL = frozenset(
    {"to", "cc", "bcc", "from", "subject", "headers", "substitutions", "dynamic_template_data"}
    | {"custom_args", "send_at"}
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request, as SendGrid reports it."""

    message: str
    #: path of the field; None when there is none to blame
    field: str | None = None

    def to_json(self) -> Json:
        return {"message": self.message, "field": self.field, "help": HELP}


def faults(body: bytes) -> Sequence[Fault]:
    """Everything wrong with a request; empty when nothing is."""
    try:
        mail = orjson.loads(body)
    except orjson.JSONDecodeError:
        mail = None
    if not isinstance(mail, dict):
        return [Fault("Bad Request")]
    found = list(_shape(mail))
    if not found:
        found = [fault for check in _CHECKS for fault in check(mail)]
    return found


def _shape(mail: Json) -> Iterator[Fault]:
    """What must hold before anything else can be looked at."""
    for name in mail.keys() - _TOP:
        yield Fault(f"Additional property {name} is not allowed", name)
    people = mail.get("personalizations")
    if not isinstance(people, list) or not people:
        yield Fault("You must have at least one personalization.", "personalizations")
        return
    for index, one in enumerate(people):
        path = f"personalizations.{index}"
        if not isinstance(one, dict):
            yield Fault("Invalid type. Expected: object.", path)
            continue
        for name in one.keys() - _PERSONAL:
            yield Fault(f"Additional property {name} is not allowed", f"{path}.{name}")
        for kind in ("to", "cc", "bcc"):
            yield from _mailboxes(one.get(kind), f"{path}.{kind}", needed=kind == "to")


def _mailboxes(value: Any, path: str, *, needed: bool) -> Iterator[Fault]:
    if value is None and not needed:
        return
    if not isinstance(value, list) or not value:
        yield Fault("The to parameter is required for all personalization objects.", path)
        return
    for index, one in enumerate(value):
        if not isinstance(one, dict) or not is_address(one.get("email")):
            yield Fault(BAD_ADDRESS, f"{path}.{index}.email")


def addresses(mail: Json) -> Sequence[str]:
    """All recipients, in their order."""
    return [
        one["email"]
        for person in mail["personalizations"]
        for kind in ("to", "cc", "bcc")
        for one in person.get(kind, ())
    ]


def _counts(mail: Json) -> Iterator[Fault]:
    people, everybody = mail["personalizations"], addresses(mail)
    if len(people) > _MOST:
        text = f"The personalization block is limited to {_MOST} personalizations per API request."
        yield Fault(f"{text} You have provided {len(people)} personalizations.", "personalizations")
    if len(everybody) > _MOST:
        text = f"There is a limit of {_MOST} total recipients (to + cc + bcc) per request."
        yield Fault(text, "personalizations")
    if len({one.lower() for one in everybody}) < len(everybody):
        text = "Each unique email address in the personalizations array should only be included"
        yield Fault(f"{text} once. You have included one more than once.", "personalizations")


def _sender(mail: Json) -> Iterator[Fault]:
    sender = mail.get("from")
    if not isinstance(sender, dict) or not is_address(sender.get("email")):
        yield Fault("The from email does not contain a valid address.", "from.email")
    if "reply_to" in mail and "reply_to_list" in mail:
        yield Fault("Only one of reply_to and reply_to_list may be given.", "reply_to")
    reply = mail.get("reply_to")
    if reply is not None and not (isinstance(reply, dict) and is_address(reply.get("email"))):
        yield Fault(BAD_ADDRESS, "reply_to.email")


def _content(mail: Json) -> Iterator[Fault]:
    if mail.get("template_id"):
        return
    for index, one in enumerate(mail["personalizations"]):
        if not _is_filled(one.get("subject", mail.get("subject"))):
            yield Fault("The subject is required.", f"personalizations.{index}.subject")
    parts = mail.get("content")
    if not isinstance(parts, list) or not parts:
        yield Fault("Unless a valid template_id is provided, the content is required.", "content")
        return
    kinds = [part.get("type") if isinstance(part, dict) else None for part in parts]
    for index, part in enumerate(parts):
        if not isinstance(part, dict) or not _is_filled(part.get("value")):
            yield Fault("The content value must be a string at least one character.", "content")
        elif not _is_filled(kinds[index]):
            yield Fault("The content type is required.", f"content.{index}.type")
    if "text/plain" in kinds[1:]:
        yield Fault("If present, text/plain must come first.", "content.0.type")


def _attachments(mail: Json) -> Iterator[Fault]:
    """api-reference/mail-send: content and filename are needed, the type holds no `;`."""
    files = mail.get("attachments", [])
    for index, one in enumerate(files if isinstance(files, list) else [None]):
        path = f"attachments.{index}"
        if not isinstance(one, dict) or not _is_filled(one.get("filename")):
            yield Fault("The attachment filename is required.", f"{path}.filename")
        elif not _is_base64(one.get("content")):
            yield Fault("The attachment content must be base64 encoded.", f"{path}.content")
        elif ";" in str(one.get("type", "")):
            yield Fault("The attachment type cannot contain ';'.", f"{path}.type")
        elif one.get("disposition", "attachment") not in ("inline", "attachment"):
            yield Fault("Either inline or attachment.", f"{path}.disposition")


def _is_base64(value: object) -> bool:
    try:
        return bool(base64.b64decode(value, validate=True))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _is_filled(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _tables(mail: Json) -> Iterator[Fault]:
    """Headers and custom arguments, of the whole request and of each of its messages."""
    yield from _headers(mail.get("headers"), "headers")
    common = mail.get("custom_args", {})
    for index, one in enumerate(mail["personalizations"]):
        path = f"personalizations.{index}"
        yield from _headers(one.get("headers"), f"{path}.headers")
        own = one.get("custom_args", {})
        if not _is_text_table(own) or not _is_text_table(common):
            yield Fault("Custom args must be strings.", f"{path}.custom_args")
        elif len(orjson.dumps({**common, **own})) > _CUSTOM_ARGS_BYTES:
            yield Fault("Custom args may not exceed 10,000 bytes.", f"{path}.custom_args")


def _headers(value: Any, path: str) -> Iterator[Fault]:
    if value is None:
        return
    if not _is_text_table(value):
        yield Fault("Headers must be strings.", path)
        return
    for name in value:
        if name.lower() in _RESERVED:
            yield Fault(f"The header {name} is reserved and may not be set.", f"{path}.{name}")


def _is_text_table(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _options(mail: Json) -> Iterator[Fault]:
    categories = mail.get("categories", [])
    if not isinstance(categories, list) or not all(map(_is_filled, categories)):
        yield Fault("Categories must be an array of strings.", "categories")
        return
    if len(categories) > 10 or len(set(categories)) < len(categories):
        yield Fault("Up to 10 categories, each only once.", "categories")
    if any(len(one) > 255 for one in categories):
        yield Fault("A category may not be longer than 255 characters.", "categories")
    pool = mail.get("ip_pool_name")
    if pool is not None and not (isinstance(pool, str) and 2 <= len(pool) <= 64):
        yield Fault("The ip_pool_name must be 2 to 64 characters.", "ip_pool_name")
    for one in (mail, *mail["personalizations"]):
        at = one.get("send_at", 0)
        if not isinstance(at, int) or at > time.time() + _SEND_AT_AHEAD:
            yield Fault("Scheduling more than 72 hours in advance is forbidden.", "send_at")


_CHECKS: Sequence[Callable[[Json], Iterator[Fault]]] = (
    _counts,
    _sender,
    _content,
    _attachments,
    _tables,
    _options,
)
