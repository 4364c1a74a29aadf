"""Claiming ready rows, and making due rows ready."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile

import apsw

from gateway.model.case import Claimed
from gateway.store import base
from gateway.store import rows as shapes
from gateway.store.sqlite.engine import call, call_json, dump, run
from gateway.store.sqlite.ranks import FlowKey, reserve


def claim(connection: apsw.Connection, request: base.ClaimRequest, owner: str) -> Sequence[Claimed]:
    where = {
        "lane": request.lane,
        "provider": request.provider,
        "lowest": request.lowest,
        "highest": request.highest,
    }
    if not call(connection, "any_ready", **where):
        return []
    unpinned = request.limit if _may_help(connection, request) else 0
    found = call(connection, "heads", **where, limit=request.limit, unpinned=unpinned)
    rows = shapes.read_claimed(found, taken=True)
    claimed = [*rows[: request.startable]]
    claimed += takewhile(lambda row: not row.once, rows[request.startable :])
    take(connection, claimed, owner, request.provider)
    return claimed


def _may_help(connection: apsw.Connection, request: base.ClaimRequest) -> bool:
    if request.pinned_only or request.head_due_by_ms is None:
        return not request.pinned_only
    head = call(connection, "head_due", lane=request.lane)
    return head is not None and head <= request.head_due_by_ms


def take(connection: apsw.Connection, rows: Sequence[Claimed], owner: str, taker: str) -> None:
    """Claim rows. taker: the account that is to send them; empty when nobody is."""
    if not rows:
        return
    call(connection, "take", rows=keys(rows), owner=owner, taker=taker)
    if taker:
        _advance_clocks(connection, rows)


def _advance_clocks(connection: apsw.Connection, rows: Sequence[Claimed]) -> None:
    """rows: in the order of their lanes."""
    clocks: dict[tuple[str, int], float] = {}
    for row in rows:
        if not row.pin:
            clocks[row.lane, row.priority] = row.rank
    for (lane, priority), rank in clocks.items():
        call(connection, "advance_clock", lane=lane, priority=priority, rank=rank)


def keys(rows: Iterable[Claimed]) -> str:
    return dump([(row.case.id, row.step, row.part) for row in rows])


def promote(connection: apsw.Connection, lane: str, priority: int, now_ms: int, limit: int) -> int:
    """Rows tried before go on at the lane's clock, the others at the end of their flow."""
    found = call_json(
        connection, "due_rows", lane=lane, priority=priority, now_ms=now_ms, limit=limit
    )
    counts: dict[FlowKey, int] = defaultdict(int)
    flows = [(lane, priority, flow, weight, tries > 0) for *_, flow, weight, tries in found]
    for flow in flows:
        counts[flow] += 1
    ranks = {flow: reserve(connection, flow, count) for flow, count in sorted(counts.items())}
    run(
        connection,
        "promote",
        [(*row[:3], next(ranks[flow])) for row, flow in zip(found, flows, strict=True)],
    )
    return len(found)
