"""Storing what recipients wrote and what it causes."""

from collections.abc import Sequence

from gateway.model.case import Reply
from gateway.store.permissions import ban_by, row_of_ban
from gateway.store.postgres.accept import stored
from gateway.store.postgres.ranks import Ranks
from gateway.store.postgres.session import Session


async def take(session: Session, replies: Sequence[Reply], ranks: Ranks) -> Sequence[bool]:
    """Whether each is the first copy. Of two nodes that take copies at once, the second waits for
    the first and then finds it taken."""
    first = [await _take_one(session, one) for one in replies]
    webhooks = [
        webhook
        for one, is_first in zip(replies, first, strict=True)
        if is_first
        for webhook in one.webhooks
    ]
    await session.write(stored(webhooks, ranks))
    return first


async def _take_one(session: Session, one: Reply) -> bool:
    if one.key:
        noted = {"provider": one.provider, "key": one.key, "until_ms": one.until_ms}
        if not await session.run("take_inbound", **noted):
            return False
    channel, hash_ = one.address
    if one.ban:
        await session.run_over("put_suppressions", [row_of_ban(ban_by(one))])
    if one.lifts:
        await session.run("lift_sender", channel=channel, hash=hash_, sender=one.provider)
    return True
