"""A receipt as it is parked in the store until its attempt is known."""

from collections.abc import Mapping

from gateway.clock import to_datetime
from gateway.model import wire

#: What is kept of a provider's words.
DETAIL = 300


def pack(receipt: wire.DeliveryReceipt) -> Mapping[str, str]:
    """Texts alone, so that it is one value in either store."""
    return {
        "event": receipt.event,
        "provider_id": receipt.provider_id,
        "code": receipt.code[:64],
        "detail": receipt.detail[:DETAIL],
        "of_segment": "1" if receipt.of_segment else "",
        "suppress": "1" if receipt.suppress else "",
        "at_ms": str(int(receipt.at.timestamp() * 1000)) if receipt.at else "",
    }


def unpack(values: Mapping[str, str]) -> wire.DeliveryReceipt:
    return wire.DeliveryReceipt(
        event=wire.ReceiptEvent(values["event"]),
        provider_id=values["provider_id"],
        code=values["code"],
        detail=values["detail"],
        suppress=bool(values["suppress"]),
        of_segment=bool(values.get("of_segment")),
        at=to_datetime(int(values["at_ms"])) if values["at_ms"] else None,
    )
