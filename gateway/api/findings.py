"""What rules about content found, as callers read it."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from gateway.model import lint


class Warned(TypedDict):
    """What a rule about content found in an accepted message."""

    rule: Annotated[str, Field(description="Such as sms.parts")]
    channel: str
    message: Annotated[str, Field(description="What is the matter")]


class FindingItem(Warned):
    """What a rule about content found."""

    field: Annotated[str, Field(description="Of the channel's content, such as text")]
    severity: Annotated[str, Field(description="hint, warning or error")]
    hint: Annotated[str, Field(description="What to do about it")]


def warned(value: lint.Finding) -> Warned:
    """The short form, in the answer to an accepted message."""
    return {"rule": value.rule, "channel": value.channel, "message": value.message}


def finding(value: lint.Finding) -> FindingItem:
    """All that a rule says."""
    return {
        **warned(value),
        "field": value.field,
        "severity": value.severity,
        "hint": value.hint,
    }
