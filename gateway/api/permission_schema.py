"""Bodies about consent and suppression: shapes, bounds, and what is read from them."""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from gateway.api import bodies, fields, limits, reading, schema
from gateway.api.submissions import read_to
from gateway.model.errors import Fault, InvalidMessage
from gateway.model.permission import Reason
from gateway.model.recording import Lift, NewConsent, NewSuppression, Whom, Withdrawal

_CLOSED = ConfigDict(extra="forbid", strict=True)

ReasonName = Literal["opt_out", "complaint", "hard_bounce", "manual", "import"]

_Category = Annotated[str, fields.name("A configured category, such as marketing")]
_Source = Annotated[str, fields.line(128, "Where you have it from", ["signup-form"])]
_Everybody = Annotated[
    bool, Field(description="For all tenants, not for yours alone; needs the scope admin")
]
_Channel = Annotated[
    schema.ChannelName,
    Field(
        description="Narrows it to one channel; if absent all that the address serves: a phone "
        "number sms and rcs, a recipient every one"
    ),
]


@with_config(_CLOSED)
class _Whom(TypedDict):
    to: Annotated[schema.Addresses, Field(description="One address, or your own id as recipient")]
    channel: NotRequired[_Channel]


@with_config(_CLOSED)
class Consent(_Whom):
    """Somebody has agreed to a category."""

    category: _Category
    source: _Source
    at: Annotated[
        fields.Instant,
        Field(description="When they agreed; a refusal that is as late or later stands"),
    ]
    proof: NotRequired[
        Annotated[str, fields.line(256, "Your reference to what proves it", ["form-8812"])]
    ]
    expires_at: NotRequired[Annotated[fields.Instant, Field(description="No longer than this")]]


@with_config(_CLOSED)
class Withdrawn(_Whom):
    """Somebody has told you that they want no more of a category."""

    category: _Category
    source: NotRequired[_Source]
    at: NotRequired[Annotated[fields.Instant, Field(description="When they did; now if absent")]]


@with_config(_CLOSED)
class Suppression(_Whom):
    """Somebody who is not to be written to."""

    reason: NotRequired[
        Annotated[
            ReasonName,
            Field(
                description="manual if absent. opt_out holds for categories that can be refused, "
                "the others for all"
            ),
        ]
    ]
    category: NotRequired[_Category]
    source: NotRequired[_Source]
    at: NotRequired[Annotated[fields.Instant, Field(description="Since when; now if absent")]]
    expires_at: NotRequired[Annotated[fields.Instant, Field(description="For good if absent")]]
    everybody: NotRequired[_Everybody]


@with_config(_CLOSED)
class Lifted(TypedDict):
    """A suppression to be forgotten: one record by its id, or all of somebody that fit."""

    id: NotRequired[
        Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$", description="As the list shows it")]
    ]
    to: NotRequired[schema.Addresses]
    channel: NotRequired[_Channel]
    category: NotRequired[_Category]
    reason: NotRequired[ReasonName]
    everybody: NotRequired[_Everybody]


class Lookup(_Whom):
    """Somebody whose records are wanted."""


Consents = Annotated[list[Consent], Field(min_length=1, max_length=limits.MAX_BATCH)]
Withdrawals = Annotated[list[Withdrawn], Field(min_length=1, max_length=limits.MAX_BATCH)]
Suppressions = Annotated[list[Suppression], Field(min_length=1, max_length=limits.MAX_BATCH)]
Lifts = Annotated[list[Lifted], Field(min_length=1, max_length=limits.MAX_BATCH)]

#: What is recorded as the source where none is given.
_SOURCE = "api"

_consent = reading.Reader(Consent)
_withdrawn = reading.Reader(Withdrawn)
_suppression = reading.Reader(Suppression)
_lifted = reading.Reader(Lifted)
_lookup = reading.Reader(Lookup)


def read_consent(parsed: bodies.Parsed) -> NewConsent:
    """Raises InvalidMessage, as do the others."""
    body = _consent.read(parsed)
    return NewConsent(
        whom=_whom(body),
        category=body["category"],
        source=body["source"],
        at=body["at"],
        proof=body.get("proof", ""),
        expires_at=body.get("expires_at"),
    )


def read_withdrawal(parsed: bodies.Parsed) -> Withdrawal:
    body = _withdrawn.read(parsed)
    return Withdrawal(
        whom=_whom(body),
        category=body["category"],
        source=body.get("source", _SOURCE),
        at=body.get("at"),
    )


def read_suppression(parsed: bodies.Parsed) -> NewSuppression:
    body = _suppression.read(parsed)
    return NewSuppression(
        whom=_whom(body),
        reason=Reason(body.get("reason", "manual")),
        category=body.get("category", ""),
        source=body.get("source", _SOURCE),
        at=body.get("at"),
        expires_at=body.get("expires_at"),
        everybody=body.get("everybody", False),
    )


def read_lift(parsed: bodies.Parsed) -> Lift:
    body = _lifted.read(parsed)
    narrowed = body.keys() & {"channel", "category", "reason"}
    if ("id" in body) == ("to" in body) or ("id" in body and narrowed):
        fault = Fault("id", "give either id alone, or to and what narrows it")
        raise InvalidMessage("The body does not fit; see faults.", [fault])
    return Lift(
        id=int(body.get("id", 0)),
        whom=Whom(to=read_to(body["to"]), channel=body.get("channel", ""))
        if "to" in body
        else None,
        category=body.get("category", ""),
        reason=body.get("reason", ""),
        everybody=body.get("everybody", False),
    )


def read_lookup(parsed: bodies.Parsed) -> Whom:
    return _whom(_lookup.read(parsed))


def _whom(body: _Whom) -> Whom:
    return Whom(to=read_to(body["to"]), channel=body.get("channel", ""))
