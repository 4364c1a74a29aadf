"""What an adapter makes of an answer."""

import orjson

from gateway.model import wire
from gateway.providers import base


def result(
    provider: base.HttpProvider,
    message: wire.Message,
    status: int,
    body: object = b"",
    headers: dict[str, str] | None = None,
) -> wire.AttemptResult:
    """The result of a message that has a call of its own. body: octets, or what goes as JSON."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    response = wire.HttpResponse(status=status, headers=headers or {}, body=raw)
    [one] = provider.read_response([message], response)
    return one
