"""Ranks: virtual time of start-time fair queueing, kept per lane, priority and flow (design §5).

They are reserved in a transaction of their own before the rows are written: the flow of a busy
tenant is everybody's, and must not be held until a large batch is on disk.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from gateway.model.case import Claimed, QueueRow
from gateway.model.values import Value
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.session import Session


class Turn(Value, kw_only=False):
    """A row's place in line: at the end of its flow, or at the lane's clock for a retry."""

    lane: str
    priority: int
    flow: str
    weight: float
    retry: bool


def turn_of(row: QueueRow) -> Turn:
    return Turn(row.lane, row.priority, row.flow, row.weight, row.retry)


class Ranks:
    """Gives reserved ranks out, one for each turn that was reserved for."""

    def __init__(
        self, starts: Mapping[tuple[str, int, str], float], clocks: Mapping[tuple[str, int], float]
    ) -> None:
        self._starts = starts
        self._clocks = clocks
        self._latest = dict(starts)

    def anew(self) -> "Ranks":
        """The same ranks, for work that is done again."""
        return Ranks(self._starts, self._clocks)

    def next(self, turn: Turn) -> float:
        if turn.retry:
            return self._clocks.get((turn.lane, turn.priority), 0.0)
        flow = (turn.lane, turn.priority, turn.flow)
        self._latest[flow] += 1 / turn.weight
        return self._latest[flow]


async def reserve(engine: Engine, turns: Sequence[Turn]) -> Ranks:
    if not turns:
        return Ranks({}, {})
    return await engine.run(lambda session: _reserve(session, turns))


async def _reserve(session: Session, turns: Sequence[Turn]) -> Ranks:
    rooms: dict[tuple[str, int, str], float] = defaultdict(float)
    for turn in turns:
        if not turn.retry:
            rooms[turn.lane, turn.priority, turn.flow] += 1 / turn.weight
    wanted = [(*flow, room) for flow, room in sorted(rooms.items())]
    starts = await session.over("reserve_ranks", wanted) if wanted else ()
    lanes = sorted({(turn.lane, turn.priority) for turn in turns if turn.retry})
    clocks = await session.over("clock", lanes) if lanes else ()
    return Ranks(
        {(lane, priority, flow): start for lane, priority, flow, start in starts},
        {(lane, priority): last for lane, priority, last in clocks},
    )


async def advance_clocks(session: Session, rows: Sequence[Claimed]) -> None:
    """rows: claimed to be sent, in the order of their lanes."""
    clocks = {(row.lane, row.priority): row.rank for row in rows if not row.pin}
    if clocks:
        await session.over(
            "advance_clock", [(*lane, rank) for lane, rank in sorted(clocks.items())]
        )
