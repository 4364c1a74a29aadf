"""Ranks: virtual time of start-time fair queueing, kept per lane, priority and flow (design §5)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import apsw

from gateway.model.case import QueueRow
from gateway.store import rows as shapes
from gateway.store.sqlite.engine import call, run

#: (lane, priority, flow, weight, at the lane's clock)
FlowKey: TypeAlias = tuple[str, int, str, float, bool]


def put_queue(connection: apsw.Connection, rows: Sequence[QueueRow], *, now_ms: int) -> None:
    """Put rows, those that are due with a rank."""
    if not rows:
        return
    ranks = _reserve_all(connection, [row for row in rows if row.due_ms <= now_ms])
    run(
        connection,
        "put_queue",
        [
            shapes.queue_values(row, next(ranks[_flow(row)]) if row.due_ms <= now_ms else None)
            for row in rows
        ],
    )


def _flow(row: QueueRow) -> FlowKey:
    return row.lane, row.priority, row.flow, row.weight, row.retry


def _reserve_all(
    connection: apsw.Connection, rows: Iterable[QueueRow]
) -> dict[FlowKey, Iterator[float]]:
    """An iterator of ranks for each flow, as many as it has rows."""
    counts: dict[FlowKey, int] = defaultdict(int)
    for row in rows:
        counts[_flow(row)] += 1
    return {flow: reserve(connection, flow, count) for flow, count in sorted(counts.items())}


def reserve(connection: apsw.Connection, flow: FlowKey, count: int) -> Iterator[float]:
    lane, priority, name, weight, retry = flow
    if retry:  # its turn had come before
        clock = call(connection, "clock", lane=lane, priority=priority)
        return iter([clock] * count)
    start = call(
        connection,
        "reserve_ranks",
        lane=lane,
        priority=priority,
        flow=name,
        count=float(count),
        weight=weight,
    )
    return iter([start + number / weight for number in range(1, count + 1)])
