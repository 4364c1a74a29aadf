"""Uses of caps on PostgreSQL: whoever judges a subject keeps the other nodes waiting."""

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.model.caps import CapDemand, CapUse, Full, Mates, Place
from gateway.model.case import Transition
from gateway.store.caps import MOST_WOKEN, Register, last_of, pages_of
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.session import Session

#: Demands of one transaction. The server has room for some six thousand locks of all sessions.
_AT_ONCE = 100


class PostgresCaps:
    """Implements store.caps.Caps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def take_caps(
        self, demands: Sequence[CapDemand], *, now_ms: int
    ) -> Sequence[Full | Mates | None]:
        """Several transactions, of so many demands each."""
        found: list[Full | Mates | None] = []
        for some in _parts(demands):
            found += await self._take(some, now_ms)
        return found

    async def _take(
        self, demands: Sequence[CapDemand], now_ms: int
    ) -> Sequence[Full | Mates | None]:
        places = [place for one in demands for place in one.places]
        keys = sorted({_key(one.subject) for one in places})

        async def work(session: Session) -> Sequence[Full | Mates | None]:
            await session.value("hold_caps", keys=keys)
            # a statement of its own: it sees what others wrote before they let go
            register = await _read(session, places)
            found = [register.take(one, now_ms) for one in demands]
            await session.write({"put_caps": register.new, "put_waits": register.waits})
            return found

        return await self._engine.transact(work)

    async def read_caps(self, places: Sequence[Place], *, now_ms: int) -> Sequence[CapUse]:
        async def work(session: Session) -> Sequence[CapUse]:
            register = await _read(session, places)
            return [register.read(one, now_ms) for one in places]

        return await self._engine.run(work) if places else []


async def give_back(session: Session, transitions: Sequence[Transition], now_ms: int) -> None:
    """Uses of messages that reached nobody, after all else of these is written: what gives way to
    such a use is due now.

    Who is told to wait at the same moment is not missed: it holds what it waits for until its wait
    is written, so that either finds the other's work, whoever comes first.
    """
    rows = [(one.message, channel) for one in transitions for channel in one.free_caps]
    freed = await _over(session, "free_caps", sorted(rows))
    found = await _over(session, "waiters", sorted(set(freed)), limit=MOST_WOKEN)
    told = sorted((one.message,) for one in transitions if one.yields)
    await _over(session, "hold_waited", told)
    ended = await _over(session, "end_waits", sorted({*found, *told}))
    await _over(session, "wake", ended, now_ms=now_ms)


async def _over(
    session: Session, name: str, rows: Sequence[Sequence[Any]], **values: Any
) -> list[tuple[Any, ...]]:
    """What a query over rows gives, if there are any."""
    return [tuple(row) for row in await session.over(name, rows, **values)] if rows else []


async def _read(session: Session, places: Sequence[Place]) -> Register:
    rows: list[Sequence[Any]] = []
    for query, pages in (("read_caps", pages_of(places)), ("read_last_uses", last_of(places))):
        rows += map(tuple, await session.over(query, pages)) if pages else ()
    return Register(rows)


def _parts(demands: Sequence[CapDemand]) -> Iterator[Sequence[CapDemand]]:
    for start in range(0, len(demands), _AT_ONCE):
        yield demands[start : start + _AT_ONCE]


def _key(subject: str) -> int:
    """A number for the server's locks. Two subjects that share one wait for each other."""
    return int(subject[:16], 16) - 2**63
