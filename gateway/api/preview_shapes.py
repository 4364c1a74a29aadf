"""What a preview answers: the model's value as JSON, as in `shapes`."""

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway.api import findings
from gateway.api.shapes import Time
from gateway.clock import isoformat
from gateway.model import submission


class PreviewedStep(TypedDict):
    """What one step of the chain would send, or why it would be left out."""

    channel: str
    lane: NotRequired[str]
    providers: NotRequired[
        Annotated[list[str], Field(description="Accounts in order of preference")]
    ]
    parts: NotRequired[Annotated[int, Field(description="Devices or addresses that get it")]]
    content: NotRequired[Annotated[dict[str, str], Field(description="The texts, rendered")]]
    sms: NotRequired[
        Annotated[
            dict[str, Any],
            Field(
                description="alphabet, characters, length and segments of the whole text; length "
                "counts septets in gsm7 and 16-bit units in ucs2"
            ),
        ]
    ]
    skipped: NotRequired[
        Annotated[str, Field(description="Why the step would be left out; nothing else is set")]
    ]


class PreviewResult(TypedDict):
    """What would happen to a message. Nothing was stored or sent."""

    decision: Annotated[
        str,
        Field(
            description="send, defer, merge (waits, to leave as one with what waits beside it), "
            "suppress or refuse"
        ),
    ]
    reasons: Annotated[
        list[str],
        Field(
            description="Why, how the frequency caps stand that count it, and whom it gives way to"
        ),
    ]
    until: NotRequired[Annotated[Time, Field(description="When it would start, if not at once")]]
    category: str
    priority: str
    expires_in: Annotated[float, Field(description="Seconds")]
    chain: list[PreviewedStep]
    findings: Annotated[
        list[findings.FindingItem],
        Field(description="What rules about content found, whether or not accept would look"),
    ]


def preview(value: submission.Preview) -> PreviewResult:
    """What the gate said and each step would send."""
    out: PreviewResult = {
        "decision": value.decision,
        "reasons": list(value.reasons),
        "category": value.category,
        "priority": value.priority,
        "expires_in": value.expires_in,
        "chain": [_previewed(one) for one in value.chain],
        "findings": [findings.finding(one) for one in value.findings],
    }
    if value.until_ms is not None:
        out["until"] = isoformat(value.until_ms)
    return out


def _previewed(value: submission.PreviewStep) -> PreviewedStep:
    if value.skipped:
        return {"channel": value.channel, "skipped": value.skipped}
    out: PreviewedStep = {
        "channel": value.channel,
        "lane": value.lane,
        "providers": list(value.providers),
        "parts": value.parts,
        "content": dict(value.content),
    }
    if value.sms is not None:
        out["sms"] = dict(value.sms)
    return out
