"""Uses of caps on SQLite: one writer, so whoever judges is alone."""

from collections.abc import Sequence
from typing import Any

import apsw

from gateway.model.caps import CapDemand, CapUse, Full, Mates, Place
from gateway.model.case import Transition
from gateway.store.caps import MOST_WOKEN, Register, last_of, pages_of
from gateway.store.sqlite.engine import QUERIES, Engine, call_json, dump, run


class SqliteCaps:
    """Implements store.caps.Caps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def take_caps(
        self, demands: Sequence[CapDemand], *, now_ms: int
    ) -> Sequence[Full | Mates | None]:
        def work(connection: apsw.Connection) -> Sequence[Full | Mates | None]:
            register = _read(connection, [place for one in demands for place in one.places])
            found = [register.take(one, now_ms) for one in demands]
            run(connection, "put_caps", register.new)
            run(connection, "put_waits", register.waits)
            return found

        return await self._engine.write(work) if demands else []

    async def read_caps(self, places: Sequence[Place], *, now_ms: int) -> Sequence[CapUse]:
        def work(connection: apsw.Connection) -> Sequence[CapUse]:
            register = _read(connection, places)
            return [register.read(one, now_ms) for one in places]

        return await self._engine.read(work) if places else []


def give_back(connection: apsw.Connection, transitions: Sequence[Transition], now_ms: int) -> None:
    """Uses of messages that reached nobody, after all else of these is written: what gives way to
    such a use is due now."""
    rows = [(one.message, channel) for one in transitions for channel in one.free_caps]
    freed = _all(connection, "free_caps", rows)
    found = _all(connection, "waiters", sorted(set(freed)), limit=MOST_WOKEN)
    # those that were told to wait when the use had just gone, or goes in the same transaction
    waiting = {message for (message,) in found} | {one.message for one in transitions if one.yields}
    run(connection, "wake", _all(connection, "end_waits", sorted(waiting)), now_ms=now_ms)


def _all(
    connection: apsw.Connection, name: str, rows: Sequence[object], **values: Any
) -> list[tuple[Any, ...]]:
    """What a named query over rows gives, if there are any."""
    return list(connection.execute(QUERIES[name], {"rows": dump(rows), **values})) if rows else []


def _read(connection: apsw.Connection, places: Sequence[Place]) -> Register:
    rows: list[Sequence[Any]] = []
    for query, pages in (("read_caps", pages_of(places)), ("read_last_uses", last_of(places))):
        rows += call_json(connection, query, rows=dump(pages)) if pages else ()
    return Register(rows)
