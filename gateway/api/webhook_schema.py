"""What callers post about webhooks: where reports go, and which are sent again.

Typed dicts, as in `schema`.
"""

from typing import Annotated, NotRequired

from pydantic import AfterValidator, Field, WithJsonSchema, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from gateway.api import fields
from gateway.api.schema import CLOSED
from gateway.model import state

#: Event types that an endpoint may ask for.
EVENTS = tuple(
    sorted(
        [
            *(f"message.{one}" for one in [*state.REPORTED, "received"]),
            "recipient.unsubscribed",
            "recipient.resubscribed",
        ]
    )
)


def _event(value: str) -> str:
    if value not in EVENTS:
        raise PydanticCustomError("event", "should be one of the documented event types")
    return value


_Event = Annotated[
    str, AfterValidator(_event), WithJsonSchema({"type": "string", "enum": list(EVENTS)})
]


@with_config(CLOSED)
class NewWebhook(TypedDict):
    """Where reports about your messages should go."""

    url: Annotated[str, fields.line(2048, "A public https URL", ["https://example.com/hooks"])]
    events: NotRequired[
        Annotated[list[_Event], Field(max_length=len(EVENTS), description="All if absent")]
    ]
    secret: NotRequired[
        Annotated[
            str,
            Field(
                max_length=100,
                pattern=r"^whsec_[A-Za-z0-9+/]{32,90}={0,2}$",
                description="Signs the reports (Standard Webhooks); made for you if absent",
            ),
        ]
    ]


@with_config(CLOSED)
class ReplayRequest(TypedDict):
    """Which reports to send again."""

    since: Annotated[fields.Instant, Field(description="Those made at this time or later")]
    only_failed: NotRequired[
        Annotated[bool, Field(description="Only those never taken, if absent; false: all")]
    ]
