"""Several nodes on one database: never both, never neither, and nobody waits for ever."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.model.case import Reference
from gateway.model.message import MessageId, Priority
from gateway.model.state import Outcome, State
from gateway.model.view import MessageFilter
from gateway.store.base import Existing, KeyTaken, Named, Staleness, Stored
from gateway.store.postgres import engine as engines
from gateway.store.postgres.session import Session
from gateway.store.postgres.store import PostgresStore


async def test_one_key_at_many_nodes_makes_one_message(
    nodes: list[PostgresStore], make: Any
) -> None:
    messages = make.messages(90, key="k", dedupe="d")

    accepted = await asyncio.gather(
        *(nodes[number % 3].accept([one]) for number, one in enumerate(messages))
    )

    page = await nodes[0].list("billing", MessageFilter())
    assert len(page.messages) == 1
    assert {one.id for (one,) in accepted if not isinstance(one, KeyTaken)} == {page.messages[0].id}
    assert [type(one) for (one,) in accepted].count(Stored) == 1


async def test_keys_in_opposite_orders_do_not_lock_nodes_out(
    nodes: list[PostgresStore], make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_TRIES", 1)

    def batch(order: int) -> list[Any]:
        numbers = list(range(50))[::order]
        return [make.message(key=f"k{number}", dedupe=f"d{-number}") for number in numbers]

    accepted = await asyncio.gather(
        *(node.accept(batch(order)) for node in nodes for order in (1, -1))
    )

    verdicts = [one for each in accepted for one in each]
    assert sum(isinstance(one, Stored) for one in verdicts) == 50
    assert sum(isinstance(one, Existing) and one.by_key for one in verdicts) == 250


async def test_key_of_a_message_that_another_node_is_storing_is_waited_for(
    nodes: list[PostgresStore], make: Any
) -> None:
    first, again, other = make.message(key="k"), make.message(key="k"), make.message()
    taken, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly(session: Any) -> None:
        await session.over(
            "take_keys",
            [("billing", "k", "body", first.id, make.now_ms + 60_000)],
            now_ms=make.now_ms,
        )
        taken.set()
        await goes_on.wait()

    storing = asyncio.create_task(nodes[0]._engine.transact(slowly))
    await taken.wait()
    waiting = asyncio.create_task(nodes[1].accept([again]))
    await nodes[2].accept([other])

    waits = not waiting.done()
    goes_on.set()
    await storing

    assert waits
    assert await waiting == [Stored(id=again.id, state=State.QUEUED)]  # the first never came


async def test_claims_share_a_lane_without_a_row_twice(
    nodes: list[PostgresStore], make: Any
) -> None:
    await nodes[0].accept(make.messages(300))

    async def drain(node: PostgresStore) -> list[str]:
        rows: list[str] = []
        while found := await node.claim(make.request(7)):
            rows += [row.case.id for row in found]
        return rows

    claimed = [one for rows in await asyncio.gather(*map(drain, nodes * 2)) for one in rows]

    assert len(claimed) == len(set(claimed)) == 300


@asynccontextmanager
async def held(node: PostgresStore, rows: str) -> AsyncIterator[None]:
    """While somebody is at work on some rows."""
    working, done = asyncio.Event(), asyncio.Event()

    async def work(session: Session) -> None:
        await session.connection.execute(f"SELECT 1 FROM {rows} FOR UPDATE")
        working.set()
        await done.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(node._engine.transact(work))
        async with asyncio.timeout(10.0):
            await working.wait()
        try:
            yield
        finally:
            done.set()


async def test_claim_passes_over_rows_that_another_is_claiming(
    nodes: list[PostgresStore], make: Any, ids: Any
) -> None:
    messages = make.messages(4)
    await nodes[0].accept(messages)

    async with (
        held(nodes[0], "(SELECT * FROM queue ORDER BY rank LIMIT 2) AS head"),
        asyncio.timeout(5.0),
    ):
        rows = await nodes[1].claim(make.request(10))

    assert ids(rows) == [one.id for one in messages[2:]]


async def test_chores_pass_over_rows_that_another_is_at(
    nodes: list[PostgresStore], make: Any, die: Any
) -> None:
    await nodes[0].accept([make.message(), make.message()])
    await nodes[0].claim(make.request(1))
    await nodes[0].accept([make.message(start_in=1.0), make.message(pin="acme")])
    await die(nodes[0])

    async with held(nodes[0], "queue"), asyncio.timeout(5.0):
        found = [
            await nodes[1].claim_orphans(limit=10),
            await nodes[1].claim_expired(now_ms=make.now_ms + 10**9, limit=10),
            await nodes[1].promote("sms", Priority.NORMAL, now_ms=make.now_ms + 10**9, limit=10),
            await nodes[1].unpin("sms", "acme", limit=10),
        ]

    assert found == [[], [], 0, 0]


async def test_row_cannot_be_claimed_while_it_is_being_dropped(
    nodes: list[PostgresStore], make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = make.message()
    await nodes[0].accept([message])
    case = (await nodes[0].cases([message.id]))[message.id]
    cancelled = make.transition(case, state=State.CANCELLED, ending=State.CANCELLED, drop=[(0, 0)])
    checked, goes_on = asyncio.Event(), asyncio.Event()
    ordinary = Session.write

    async def write(self: Session, *args: Any, **values: Any) -> None:
        checked.set()
        await goes_on.wait()
        await ordinary(self, *args, **values)

    monkeypatch.setattr(Session, "write", write)
    cancelling = asyncio.create_task(nodes[0].commit([cancelled]))
    await checked.wait()

    rows = await nodes[1].claim(make.request())

    goes_on.set()
    assert await cancelling == [None]
    assert rows == []


async def test_of_nodes_that_change_a_message_at_once_one_wins(
    nodes: list[PostgresStore], make: Any
) -> None:
    messages = make.messages(40)
    await nodes[0].accept(messages)
    cases = await nodes[0].cases([one.id for one in messages])

    async def cancel(node: PostgresStore) -> list[Staleness | None]:
        shuffled = random.Random(node._owner).sample(messages, k=len(messages))
        changes = {
            one.id: make.transition(
                cases[one.id], state=State.CANCELLED, ending=State.CANCELLED, drop=[(0, 0)]
            )
            for one in shuffled
        }
        verdicts = await asyncio.gather(
            *(
                node.commit([changes[one.id] for one in part])
                for part in (shuffled[:20], shuffled[20:])
            )
        )
        found = dict(zip(changes, [one for each in verdicts for one in each], strict=True))
        return [found[one.id] for one in messages]

    verdicts = await asyncio.gather(*map(cancel, nodes))

    assert all(
        sorted(map(str, one)) == ["None", "version", "version"]
        for one in zip(*verdicts, strict=True)
    )
    after = await nodes[0].cases([one.id for one in messages])
    assert {case.version for case in after.values()} == {1}


async def test_claim_and_cancel_at_once_never_both_win(
    nodes: list[PostgresStore], make: Any
) -> None:
    messages = make.messages(60)
    await nodes[0].accept(messages)
    cases = await nodes[0].cases([one.id for one in messages])

    async def cancel() -> list[Staleness | None]:
        changes = [
            make.transition(
                cases[one.id], state=State.CANCELLED, ending=State.CANCELLED, drop=[(0, 0)]
            )
            for one in messages
        ]
        return [(await nodes[1].commit([one]))[0] for one in changes]

    async def claim() -> list[MessageId]:
        rows: list[Any] = []
        for _ in range(20):
            rows += await nodes[0].claim(make.request(2))
        return [row.case.id for row in rows]

    verdicts, claimed = await asyncio.gather(cancel(), claim())

    cancelled = {one.id for one, verdict in zip(messages, verdicts, strict=True) if verdict is None}
    assert not cancelled & set(claimed)
    assert len(cancelled) + len(claimed) >= 40
    after = await nodes[0].cases(claimed)
    assert all(case.live[0].claimed for case in after.values())


async def test_row_that_turns_up_for_two_heirs_goes_to_one(
    nodes: list[PostgresStore], make: Any, die: Any
) -> None:
    await nodes[0].accept(make.messages(50))
    await nodes[0].claim(make.request(50))
    await die(nodes[0])

    found = await asyncio.gather(*(node.claim_orphans(limit=20) for node in nodes[1:] * 3))

    adopted = [row.case.id for rows in found for row in rows]
    assert len(adopted) == len(set(adopted)) == 50


async def test_node_that_lives_keeps_its_claims(nodes: list[PostgresStore], make: Any) -> None:
    await nodes[0].accept([make.message()])
    await nodes[0].claim(make.request())

    assert await nodes[1].claim_orphans(limit=10) == []


async def test_node_that_beats_again_is_alive(
    nodes: list[PostgresStore], make: Any, die: Any
) -> None:
    await nodes[0].accept([make.message()])
    await nodes[0].claim(make.request())
    await die(nodes[0])
    await nodes[0].fleet.beat()

    assert await nodes[1].claim_orphans(limit=10) == []


async def test_node_that_left_has_no_claims(database: str, make: Any) -> None:
    async with PostgresStore(database, owner="n1") as leaving:
        await leaving.accept([make.message()])
        await leaving.claim(make.request())

    async with PostgresStore(database, owner="n2") as heir:
        assert len(await heir.claim_orphans(limit=10)) == 1


async def test_due_rows_are_made_ready_by_one_node(nodes: list[PostgresStore], make: Any) -> None:
    await nodes[0].accept(make.messages(100, start_in=1.0))

    counts = await asyncio.gather(
        *(
            node.promote("sms", Priority.NORMAL, now_ms=make.now_ms + 1_000, limit=100)
            for node in nodes
        )
    )

    assert sum(counts) == 100
    assert len(await nodes[0].claim(make.request(200))) == 100


async def test_ranks_are_fair_over_nodes(nodes: list[PostgresStore], make: Any) -> None:
    await asyncio.gather(*(node.accept(make.messages(200, tenant="large")) for node in nodes))
    await nodes[0].claim(make.request(100))
    await nodes[1].accept(make.messages(10, tenant="small"))

    rows = await nodes[2].claim(make.request(21))

    assert sum(row.case.tenant == "small" for row in rows) == 10


async def test_receipt_and_the_name_of_its_attempt_meet_whichever_comes_first(
    nodes: list[PostgresStore], make: Any
) -> None:
    await nodes[0].accept(make.messages(30))
    rows = await nodes[0].claim(make.request(30))
    names = [f"SM{number}" for number in range(30)]

    def reference(name: str) -> Reference:
        return Reference(provider="acme", reference=name, redrive=0, step=0, part=0, number=1)

    def named(name: str) -> Named:
        return Named(provider="acme", reference=name, parked={"event": "delivered"})

    await asyncio.gather(
        *(
            nodes[0].commit([make.result(row, references=[reference(name)])])
            for row, name in zip(rows, names, strict=True)
        ),
        *(nodes[1].find_attempts([named(name)], now_ms=make.now_ms) for name in names),
    )

    parked = {one.reference for one in await nodes[2].parked(limit=100)}
    found = await nodes[2].find_attempts([named(name) for name in names], now_ms=make.now_ms)
    assert all(found)
    assert parked <= set(names)


async def test_receipt_that_is_parked_while_others_are_applied_is_kept(
    nodes: list[PostgresStore], make: Any
) -> None:
    def named(event: str) -> Named:
        return Named(provider="acme", reference="SM1", parked={"event": event})

    await nodes[0].find_attempts([named("sent")], now_ms=make.now_ms)
    await nodes[0].accept([make.message()])
    (row,) = await nodes[0].claim(make.request())
    name = Reference(provider="acme", reference="SM1", redrive=0, step=0, part=0, number=1)
    await nodes[0].commit([make.result(row, references=[name])])

    applied = await nodes[0].parked(limit=10)
    await nodes[1]._engine.run(
        lambda session: session.over(
            "park", [("acme", "SM1", '{"event":"delivered"}')], now_ms=make.now_ms
        )
    )
    await nodes[0].clear_parked(applied)
    await nodes[2].clear_parked(applied)

    (left,) = await nodes[0].parked(limit=10)
    assert left.receipts == [{"event": "delivered"}]


async def test_quota_is_shared(nodes: list[PostgresStore]) -> None:
    taken = await asyncio.gather(
        *(node.take_quota("acme", "2026-11-21", amount=4, limit=30) for node in nodes * 5)
    )
    given_back = await nodes[0].take_quota("acme", "2026-11-21", amount=-5, limit=30)

    assert sum(taken) == 30
    assert given_back == -5
    assert await nodes[1].take_quota("acme", "2026-11-21", amount=9, limit=30) == 5


async def test_attempt_of_a_node_that_was_replaced_changes_nothing(
    nodes: list[PostgresStore], make: Any, die: Any
) -> None:
    await nodes[0].accept([make.message()])
    (row,) = await nodes[0].claim(make.request())
    await die(nodes[0])
    (orphan,) = await nodes[1].claim_orphans(limit=10)

    late = await nodes[0].commit([make.result(row)])
    await nodes[0].give_back([row])
    written = await nodes[1].commit([make.result(orphan, Outcome.UNKNOWN, state=State.UNKNOWN)])

    assert (late, written) == ([Staleness.EPOCH], [None])
