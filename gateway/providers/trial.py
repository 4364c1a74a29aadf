"""Objections of providers that find them when they build a request: one is built on trial.

What is asked often and seldom objected to first looks whether there can be anything, `is_short`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from gateway.model import wire

#: Stands in for what no request fails for.
_ID: Final = "00000000-0000-7000-8000-000000000000"
_SOMETIME: Final = datetime(2999, 1, 1, tzinfo=UTC)

#: Octets of JSON that one character may take, as `\u0001`.
_WIDEST: Final = 6


def objection(
    build: Callable[[wire.Message], object],
    content: wire.Content,
    to: wire.Address,
    channel: wire.Channel,
) -> str:
    """Why `build` raises ValueError for such a message; empty when it does not."""
    message = wire.Message(
        id=_ID,
        reference=f"{_ID}-0-0-0",
        channel=channel,
        category="",
        to=to,
        content=content,
        expires_at=_SOMETIME,
    )
    try:
        build(message)
    except ValueError as error:
        return str(error)
    return ""


def is_short(content: wire.Content, *, octets: int) -> bool:
    """Whether it surely takes less, however it is written: texts alone, and few."""
    if content.extra or content.provider_templates:
        return False
    return (len(content.text) + len(content.title) + len(content.subject)) * _WIDEST < octets
