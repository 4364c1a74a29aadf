"""What the SMS services of mainland China have in common, whoever signs how.

They send no free text: a message names a template that they have approved, its parameters and an
approved signature, given in `wire.Content.provider_templates`. They date things in Beijing time
and sign nothing of what they report, so the reporting address must hold a secret that nobody can
guess: `https://…/v1/receipts/<account>?key=<secret>`.
"""

import hmac
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from gateway.model import errors, wire
from gateway.model.values import Value
from gateway.providers import auth

#: UTC+8, without summer time since 1991.
BEIJING = timezone(timedelta(hours=8))
#: Characters of a secret in an address: 16 random ones cannot be tried out.
MIN_SECRET = 16
#: Fields of a query that are looked at.
_MAX_FIELDS = 20

_MOBILE = re.compile(r"1[3-9]\d{9}", re.ASCII)
_NOT_A_DIGIT = re.compile(r"\D+", re.ASCII)
#: What a service's code looks like; anything else is text, which may repeat a number.
_CODE = re.compile(r"[A-Za-z][\w.:-]{0,63}", re.ASCII)


class Filled(Value):
    """A service's own template as one message fills it in."""

    #: empty: the message has none, and the service is left to say so
    template: str
    #: without its brackets 【】
    sign: str
    #: values by the template's names for them, in order
    params: Mapping[str, str]


def objection(content: wire.Content, to: wire.Address, kind: str, sign: str) -> str:
    """As `base.Provider.objection`: without a template and a signature there is nothing to send."""
    try:
        _fill(content, to, kind, sign)
    except ValueError as error:
        return str(error)
    return ""


def fill(message: wire.Message, kind: str, sign: str) -> Filled:
    """What the message says by this kind. `sign` is for those that name none of their own.

    Raises ValueError, naming no value, when the service could not send it.
    """
    return _fill(message.content, message.to, kind, sign)


def _fill(content: wire.Content, to: wire.Address, kind: str, sign: str) -> Filled:
    table = content.provider_templates.get(kind)
    if not isinstance(table, Mapping):
        raise ValueError(f"the content has no template of {kind}")
    template = table.get("template")
    if isinstance(template, int) and not isinstance(template, bool):
        template = str(template)
    if not isinstance(template, str) or not template:
        raise ValueError(f"{kind}.template: not the id of a template")
    own = table.get("sign", "")
    if not isinstance(own, str):
        raise ValueError(f"{kind}.sign: not a text")
    if not own and not sign and to.phone.startswith("+86"):
        raise ValueError(f"{kind}.sign: missing, as in the account")
    params = _params(f"{kind}.params", table.get("params", {}))
    return Filled(template=_clean(template), sign=_clean(own or sign), params=params)


def _params(path: str, given: Any) -> Mapping[str, str]:
    """Values by name; those of a list are named by their numbers from 1 on."""
    if isinstance(given, list | tuple):
        given = {str(place): value for place, value in enumerate(given, 1)}
    if not isinstance(given, Mapping):
        raise ValueError(f"{path}: neither values by name nor a list of values")
    return {_clean(str(name)): _value(f"{path}.{name}", value) for name, value in given.items()}


def _value(path: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{path}: neither a text nor a number")
    return _clean(str(value))


def _clean(text: str) -> str:
    """The text as UTF-8 can say it."""
    return text.encode("utf-8", "replace").decode()


def fill_all(
    messages: Sequence[wire.Message], kind: str, sign: str
) -> Sequence[tuple[wire.Message, Filled]]:
    """All messages, filled in. Raises ValueError when not one of them can be sent.

    One that cannot, among others that can, has an empty template: the service refuses it.
    """
    filled: list[tuple[wire.Message, Filled]] = []
    unfit: list[ValueError] = []
    for message in messages:
        try:
            filled.append((message, fill(message, kind, sign)))
        except ValueError as error:
            unfit.append(error)
            filled.append((message, Filled(template="", sign=sign, params={})))
    if messages and len(unfit) == len(messages):
        raise unfit[0]
    return filled


def group(
    filled: Sequence[tuple[wire.Message, Filled]],
    key: Callable[[Filled], Hashable],
    *,
    limit: int,
) -> Sequence[Sequence[tuple[wire.Message, Filled]]]:
    """Calls of at most `limit` messages, in each all of one key and all at home or all abroad.

    No number twice in a call, since answers and reports name the number. What has no template
    goes alone, to be refused alone.
    """
    calls: dict[Hashable, list[dict[str, tuple[wire.Message, Filled]]]] = {}
    for message, one in filled:
        phone = message.to.phone
        own = (key(one), phone.startswith("+86")) if one.template else message.reference
        open_calls = calls.setdefault(own, [])
        for call in open_calls:
            if phone not in call and len(call) < limit:
                break
        else:
            open_calls.append(call := {})
        call[phone] = (message, one)
    return [tuple(call.values()) for open_calls in calls.values() for call in open_calls]


def is_mobile(digits: str) -> bool:
    """Whether digits without prefix look like a mobile number of the mainland."""
    return _MOBILE.fullmatch(digits) is not None


def digits_of(number: str) -> str:
    """One spelling for `+86…`, `86…`, `0086…` and 11 bare digits; others without `+` or `00`."""
    digits = _NOT_A_DIGIT.sub("", number).removeprefix("00")
    return digits[2:] if digits.startswith("86") and is_mobile(digits[2:]) else digits


def code_of(value: object) -> str:
    """A service's code; empty for anything that does not look like one."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else ""


def read_time(value: object) -> datetime | None:
    """`2026-01-02 11:04:09`, Beijing time."""
    try:
        at = datetime.strptime(str(value), "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    return at.replace(tzinfo=BEIJING)


def until_hour(hour: int, *, now_ms: int) -> float:
    """Seconds until this full hour of Beijing's clock comes next; 0 is midnight."""
    now = datetime.fromtimestamp(now_ms / 1000, BEIJING)
    at = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return (at - now).total_seconds() + (86_400 if at <= now else 0)


def until_next_month(*, now_ms: int) -> float:
    """Seconds until the first of the next month in Beijing."""
    now = datetime.fromtimestamp(now_ms / 1000, BEIJING)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return ((first + timedelta(days=32)).replace(day=1) - now).total_seconds()


def host_of(base_url: str) -> str:
    """Value of the Host header, which requests sign. Raises SettingsError."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise errors.SettingsError(["base_url: not an address that begins with http"])
    host = parts.netloc.rpartition("@")[2].removesuffix(":")
    usual = 443 if parts.scheme == "https" else 80
    return (host.removesuffix(f":{usual}") if port == usual else host).lower()


def faults_of(settings: object, needed: Sequence[str]) -> list[str]:
    """What is wrong with an account's settings: empty ones, and a secret that can be guessed."""
    faults = [f"{name}: is empty" for name in needed if not getattr(settings, name)]
    if 0 < len(getattr(settings, "receipt_secret", "")) < MIN_SECRET:
        faults.append(f"receipt_secret: shorter than {MIN_SECRET} characters")
    return faults


def is_proven(request: wire.HttpRequest, secret: str) -> bool:
    """Whether the address that was called holds the secret; never without one."""
    query = request.url.partition("?")[2].partition("#")[0]
    try:
        keys = parse_qs(query, max_num_fields=_MAX_FIELDS).get("key", [])
    except ValueError:
        return False
    offered = auth.to_bytes(keys[0]) if len(keys) == 1 else b""
    return hmac.compare_digest(offered, auth.to_bytes(secret)) and bool(secret)


def read_objects(request: wire.HttpRequest) -> list[dict[str, Any]]:
    """The objects of a pushed JSON array, or the one object. Raises UnreadableReceipt."""
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise errors.UnreadableReceipt("not JSON") from None
    rows = value if isinstance(value, list) else [value]
    objects = [row for row in rows if isinstance(row, dict)]
    if rows and not objects:
        raise errors.UnreadableReceipt("no object in it")
    return objects


def text_of(row: Mapping[str, Any], name: str) -> str:
    """A field as text, whether it came as text or number; else empty."""
    value = row.get(name)
    good = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if good else ""


def reports_of(secret: str) -> frozenset[wire.ReceiptEvent]:
    """What an account's reports can tell: nothing where none would be believed."""
    return frozenset({wire.ReceiptEvent.DELIVERED} if secret else ())


def of_a_batch(code: str) -> wire.Deferred:
    """The fate of each message of a call that was refused as a whole for one of them."""
    detail = "refused with a whole batch"
    return wire.Deferred(code=code, detail=detail, cause=wire.Cause.RECIPIENT, apart=True)
