"""Storing what recipients wrote and what it causes."""

from collections.abc import Sequence

from gateway.model.case import NewMessage, Reply
from gateway.store.permissions import ban_by, row_of_ban
from gateway.store.postgres.accept import stored
from gateway.store.postgres.ranks import Ranks
from gateway.store.postgres.session import Session


async def take(session: Session, replies: Sequence[Reply], ranks: Ranks) -> Sequence[bool]:
    """Whether each is the first copy. Of two nodes that take copies at once, the second waits for
    the first and then finds it taken."""
    first = [await _take_one(session, one) for one in replies]
    caused: list[NewMessage] = []
    for one, is_first in zip(replies, first, strict=True):
        if is_first:
            caused += one.webhooks
            caused += await _answers(session, one)
    await session.write(stored(caused, ranks))
    return first


async def _take_one(session: Session, one: Reply) -> bool:
    if one.key and not await _note(session, one.provider, one.key, one.until_ms):
        return False
    channel, hash_ = one.address
    if one.ban:
        await session.run_over("put_suppressions", [row_of_ban(ban_by(one))])
    if one.lifts:
        await session.run("lift_sender", channel=channel, hash=hash_, sender=one.provider)
    return True


async def _answers(session: Session, one: Reply) -> Sequence[NewMessage]:
    answer = one.answer
    if answer and await _note(session, one.provider, answer.key, answer.until_ms):
        return [answer.message]
    return ()


async def _note(session: Session, provider: str, key: str, until_ms: int) -> bool:
    """Whether it is noted for the first time."""
    return bool(await session.run("take_inbound", provider=provider, key=key, until_ms=until_ms))
