"""Storing what recipients wrote and what it causes."""

from collections.abc import Sequence

import apsw

from gateway.model.case import Reply
from gateway.store.permissions import ban_by, row_of_ban
from gateway.store.sqlite.accept import insert
from gateway.store.sqlite.engine import call, dump


def take(connection: apsw.Connection, replies: Sequence[Reply]) -> Sequence[bool]:
    """Whether each is the first copy; what a second one causes has been seen to."""
    return [_take_one(connection, one) for one in replies]


def _take_one(connection: apsw.Connection, one: Reply) -> bool:
    if one.key and not _note(connection, one.provider, one.key, one.until_ms):
        return False
    channel, hash_ = one.address
    if one.ban:
        call(connection, "put_suppressions", rows=dump([row_of_ban(ban_by(one))]))
    if one.lifts:
        call(connection, "lift_sender", channel=channel, hash=hash_, sender=one.provider)
    insert(connection, one.webhooks)
    answer = one.answer
    if answer and _note(connection, one.provider, answer.key, answer.until_ms):
        insert(connection, [answer.message])
    return True


def _note(connection: apsw.Connection, provider: str, key: str, until_ms: int) -> bool:
    """Whether it is noted for the first time."""
    call(connection, "take_inbound", provider=provider, key=key, until_ms=until_ms)
    return bool(connection.changes())
