"""What rules about times and numbers say of a message that may not go now."""

from gateway.model.values import Value


class Hold(Value, kw_only=False):
    """A rule about times or numbers that lets nothing of a message pass now."""

    #: its name, as it is shown
    rule: str
    #: UTC epoch milliseconds when it will; None: never
    until_ms: int | None
    #: which sort of rule it is, one of a fixed set: metrics tell them apart
    kind: str = "other"
