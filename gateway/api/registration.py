"""Recipients as callers post and read them: bodies to `Recipient` and back."""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, WithJsonSchema, with_config
from typing_extensions import TypedDict

from gateway.api import bodies, fields, limits, reading
from gateway.api.schema import CLOSED, ChannelName
from gateway.api.shapes import Time
from gateway.clock import isoformat
from gateway.model import recipient as model
from gateway.model.errors import Fault, InvalidMessage

_FieldName = Literal["phone", "email", "wechat", "wecom", "chat", "url"]
_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


@with_config(CLOSED)
class RecipientDevice(TypedDict):
    """One app installation that takes pushes."""

    app: Annotated[str, fields.line(64, "Name of the app, as configured", ["ios"])]
    token: Annotated[str, fields.line(4096, "The device's token")]
    registered_at: NotRequired[
        Annotated[
            fields.Instant,
            Field(description="When the app got it: one that died before is not banned for that"),
        ]
    ]
    reason: NotRequired[
        Annotated[
            str,
            fields.line(
                200,
                "As read: why the provider knows it no more. Nothing is sent to it until it is put "
                "without",
            ),
        ]
    ]
    since: NotRequired[Annotated[fields.Instant, Field(description="As read: since when")]]


#: What is no time is told by `content.recipients`, in better words.
_Clock = Annotated[str, WithJsonSchema({"type": "string", "pattern": _TIME, "examples": ["22:00"]})]
#: By another syntax, as `from` is no name of Python's.
QuietHours = TypedDict(
    "QuietHours",
    {
        "from": Annotated[_Clock, Field(description="HH:MM in the person's zone")],
        "to": Annotated[_Clock, Field(description="Earlier than from: of the next day")],
    },
)
with_config(CLOSED)(QuietHours)


class _Described(TypedDict):
    phone: NotRequired[
        Annotated[str, fields.line(limits.MAX_PHONE, "E.164, with +", ["+8613800138000"])]
    ]
    email: NotRequired[Annotated[str, fields.line(limits.MAX_EMAIL, "", ["li@example.com"])]]
    push: NotRequired[
        Annotated[
            list[RecipientDevice],
            Field(max_length=limits.MAX_DEVICES, description="All devices of the person"),
        ]
    ]
    wechat: NotRequired[Annotated[str, fields.line(128, "openid in the official account")]]
    wecom: NotRequired[Annotated[str, fields.line(128, "User id in WeCom", ["LiLei"])]]
    chat: NotRequired[Annotated[str, fields.line(512, "Id or address in the chat service")]]
    url: NotRequired[Annotated[str, fields.line(2048, "The person's own system, for webhook")]]
    verified: NotRequired[
        Annotated[
            list[_FieldName],
            Field(max_length=6, description="Addresses that the person has proved to have"),
        ]
    ]
    invalid: NotRequired[
        Annotated[
            list[_FieldName],
            Field(max_length=6, description="Addresses that are known to be wrong: not used"),
        ]
    ]
    locale: NotRequired[Annotated[str, fields.line(35, "Language tag (BCP 47)", ["zh-CN"])]]
    zone: NotRequired[Annotated[str, fields.line(64, "IANA time zone", ["Asia/Shanghai"])]]
    quiet_hours: NotRequired[
        Annotated[
            list[QuietHours],
            Field(max_length=10, description="When the person wants to be left alone"),
        ]
    ]
    preferences: NotRequired[
        Annotated[
            dict[str, Annotated[list[ChannelName], Field(min_length=1, max_length=8)]],
            Field(
                max_length=50,
                description="By category, the channels that the person wants it on, best first",
            ),
        ]
    ]
    tier: NotRequired[Annotated[str, fields.line(64, "Yours, such as gold")]]
    attributes: NotRequired[
        Annotated[
            dict[str, Any],
            Field(max_length=100, description="Yours. 8 KiB at most"),
            fields.at_most(limits.MAX_ATTRIBUTES),
        ]
    ]
    updated_at: NotRequired[Annotated[str, Field(max_length=64, description="As read: ignored")]]


_Id = Annotated[str, fields.recipient_id("Your own id of the person"), fields.NAMEABLE]


@with_config(CLOSED)
class NewRecipient(_Described):
    """A person with at least one usable address. What is left out is unknown from then on."""

    id: NotRequired[Annotated[_Id, Field(description="As in the address of the request")]]


@with_config(CLOSED)
class BulkRecipient(_Described):
    """A recipient in a list."""

    id: _Id


class Recipient(_Described):
    """A recipient as it is kept."""

    id: str
    updated_at: Time  # type: ignore[misc]  # always there


class RecipientList(TypedDict):
    """A page, by id."""

    recipients: list[Recipient]
    next_cursor: NotRequired[
        Annotated[str, Field(description="Pass it as `cursor` to read on; absent at the end")]
    ]


class RecipientErased(TypedDict):
    """What was done to messages to the person."""

    messages: Annotated[int, Field(description="Whose addresses and content were overwritten")]
    cancelled: Annotated[int, Field(description="Of these, those that were still waiting")]


class RowFault(TypedDict):
    """A row that was refused."""

    row: Annotated[int, Field(description="Its line, from 1; in CSV the header is line 1")]
    field: str
    reason: str


class BulkResult(TypedDict):
    """What became of the rows."""

    rows: int
    new: int
    changed: int
    unchanged: int
    refused: int
    faults: Annotated[list[RowFault], Field(description="Of the first 100 that were refused")]


_new = reading.Reader(NewRecipient)
_bulk = reading.Reader(BulkRecipient)
_LISTS = ("verified", "invalid")
_PLAIN = (*model.SINGLE, "locale", "zone", "tier", "attributes")
_IS_PLAIN = frozenset(_PLAIN)


def read_recipient(parsed: bodies.Parsed, id: str) -> model.Recipient:
    """The body of a request about one. Raises InvalidMessage."""
    body = _new.read(parsed)
    if body.get("id", id) != id:
        fault = Fault("id", "differs from the id in the address of the request")
        raise InvalidMessage("The body does not fit; see faults.", [fault])
    return _recipient(body, id)


def read_row(parsed: bodies.Parsed) -> model.Recipient:
    """A row of a list. Raises InvalidMessage."""
    body = _bulk.read(parsed)
    return _recipient(body, body["id"])


def _recipient(body: Any, id: str) -> model.Recipient:
    """body: one of the two, validated."""
    known: dict[str, Any] = {name: value for name, value in body.items() if name in _IS_PLAIN}
    for name in _LISTS:
        if name in body:
            known[name] = tuple(dict.fromkeys(body[name]))
    if "push" in body:
        known["push"] = tuple(map(_device, body["push"]))
    if "quiet_hours" in body:
        known["quiet"] = tuple((one["from"], one["to"]) for one in body["quiet_hours"])
    if "preferences" in body:
        known["preferences"] = {
            category: tuple(dict.fromkeys(channels))
            for category, channels in body["preferences"].items()
        }
    return model.Recipient(id=id, **known)


def _device(body: RecipientDevice) -> model.PushDevice:
    return model.PushDevice(
        app=body["app"],
        token=body["token"],
        reason=body.get("reason", ""),
        since_ms=_milliseconds(body.get("since")) if "reason" in body else 0,
        registered_ms=_milliseconds(body.get("registered_at")),
    )


def _milliseconds(at: datetime | None) -> int:
    return 0 if at is None else int(at.timestamp() * 1000)


def shape(kept: model.Kept) -> Recipient:
    """A recipient with what is known of it."""
    one = kept.recipient
    out: dict[str, Any] = {"id": one.id}
    out |= {name: value for name in _PLAIN if (value := getattr(one, name))}
    out |= {name: list(value) for name in _LISTS if (value := getattr(one, name))}
    if one.push:
        out["push"] = [_device_shape(device) for device in one.push]
    if one.quiet:
        out["quiet_hours"] = [{"from": start, "to": end} for start, end in one.quiet]
    if one.preferences:
        out["preferences"] = {name: list(value) for name, value in one.preferences.items()}
    return {**out, "updated_at": isoformat(kept.updated_ms)}  # type: ignore[typeddict-item]


def _device_shape(device: model.PushDevice) -> dict[str, Any]:
    out = {"app": device.app, "token": device.token}
    if device.registered_ms:
        out["registered_at"] = isoformat(device.registered_ms)
    if device.reason:
        out |= {"reason": device.reason, "since": isoformat(device.since_ms)}
    return out
