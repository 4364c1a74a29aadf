"""Uses of caps on SQLite: one writer, so whoever judges is alone."""

from collections.abc import Sequence
from typing import Any

import apsw

from gateway.model.caps import CapDemand, CapUse, Full, Place
from gateway.store.caps import Register, last_of, pages_of
from gateway.store.sqlite.engine import Engine, call_json, dump, run


class SqliteCaps:
    """Implements store.caps.Caps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def take_caps(
        self, demands: Sequence[CapDemand], *, now_ms: int
    ) -> Sequence[Full | None]:
        def work(connection: apsw.Connection) -> Sequence[Full | None]:
            register = _read(connection, [place for one in demands for place in one.places])
            found = [register.take(one, now_ms) for one in demands]
            run(connection, "put_caps", register.new)
            return found

        return await self._engine.write(work) if demands else []

    async def read_caps(self, places: Sequence[Place], *, now_ms: int) -> Sequence[CapUse]:
        def work(connection: apsw.Connection) -> Sequence[CapUse]:
            register = _read(connection, places)
            return [register.read(one, now_ms) for one in places]

        return await self._engine.read(work) if places else []


def _read(connection: apsw.Connection, places: Sequence[Place]) -> Register:
    rows: list[Sequence[Any]] = []
    for query, pages in (("read_caps", pages_of(places)), ("read_last_uses", last_of(places))):
        rows += call_json(connection, query, rows=dump(pages)) if pages else ()
    return Register(rows)
