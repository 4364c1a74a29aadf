"""What became of messages: receipts that come early, timelines, lists, dead letters, retention."""

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.model.case import Reference
from gateway.model.message import MessageId
from gateway.model.state import Outcome, State
from gateway.model.view import MessageFilter, MessagePage
from gateway.store.base import Named, Store

DAY_MS = 86_400_000


def named(reference: str, event: str = "delivered", provider: str = "acme") -> Named:
    return Named(provider=provider, reference=reference, parked={"event": event, "text": "✓\x00"})


def reference(name: str, number: int = 1, provider: str = "acme") -> Reference:
    return Reference(provider=provider, reference=name, redrive=0, step=0, part=0, number=number)


async def sent(store: Store, make: Any, *names: str) -> MessageId:
    """A message that `acme` took under these ids."""
    message = make.message()
    await store.accept([message])
    (row,) = await store.claim(make.request(1))
    await store.commit([make.result(row, references=[reference(name) for name in names])])
    return row.case.id


async def ended(store: Store, make: Any, state: State, **fields: Any) -> MessageId:
    message = make.message(**fields)
    await store.accept([message])
    (row,) = await store.claim(make.request(1))
    ending = state if state in (State.FAILED, State.EXPIRED, State.CANCELLED) else None
    await store.commit([make.result(row, Outcome.REJECTED, state=state, ending=ending)])
    return row.case.id


async def test_receipt_finds_its_attempt(store: Store, make: Any) -> None:
    message = await sent(store, make, "SM1")

    (found,) = await store.find_attempts([named("SM1")], now_ms=make.now_ms)

    assert found is not None
    assert (found.message, found.redrive, found.step, found.part) == (message, 0, 0, 0)
    assert (found.number, found.receipts) == (1, [{"event": "delivered", "text": "✓\x00"}])
    assert await store.parked(limit=10) == []


async def test_provider_s_names_may_hold_any_character(store: Store, make: Any) -> None:
    names = ["a\x00b", "a\x1a", "🎉", "'; --", '{"\\']
    await store.find_attempts([named(name) for name in names[:2]], now_ms=make.now_ms)
    await sent(store, make, *names)

    found = await store.find_attempts([named(name) for name in names], now_ms=make.now_ms)
    parked = await store.parked(limit=10)

    assert [one.reference for one in found if one is not None] == names
    assert sorted(one.reference for one in parked) == sorted(names[:2])
    await store.clear_parked(parked)
    assert await store.parked(limit=10) == []


async def test_receipts_of_strangers_references_are_nobody_s(store: Store) -> None:
    for nonsense in ("-" * 36, "x", "01A3185C-0000-7000-8000-00000000000G"):
        assert await store.cases([MessageId(nonsense)]) == {}


async def test_receipt_before_its_attempt_is_parked(store: Store, make: Any) -> None:
    early = await store.find_attempts(
        [named("SM1", "sent"), named("SM1"), named("SM2")], now_ms=make.now_ms
    )
    before = await store.parked(limit=10)
    message = await sent(store, make, "SM1")

    (parked,) = await store.parked(limit=10)
    assert early == [None, None, None]
    assert before == []
    assert (parked.message, parked.number) == (message, 1)
    assert [one["event"] for one in parked.receipts] == ["sent", "delivered"]
    await store.clear_parked([parked])
    assert await store.parked(limit=10) == []
    (found,) = await store.find_attempts([named("SM1")], now_ms=make.now_ms)
    assert found is not None


async def test_names_belong_to_their_provider(store: Store, make: Any) -> None:
    await sent(store, make, "SM1")

    found = await store.find_attempts(
        [named("SM1", provider="other"), named("SM1")], now_ms=make.now_ms
    )

    assert found[0] is None
    assert found[1] is not None


async def test_parked_receipts_are_read_a_few_at_a_time(store: Store, make: Any) -> None:
    names = [f"SM{number}" for number in range(5)]
    await store.find_attempts([named(name) for name in names], now_ms=make.now_ms)
    await sent(store, make, *names)

    counts = []
    while parked := await store.parked(limit=2):
        counts.append(len(parked))
        await store.clear_parked(parked)

    assert counts == [2, 2, 1]


async def test_timeline_is_in_order_of_time(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request())
    make.now_ms += 5_000
    again = make.row(row.case, attempts=1, epoch=1, retry=True)
    await store.commit([make.result(row, Outcome.DEFERRED, state=State.QUEUED, put=[again])])
    (row,) = await store.claim(make.request())
    make.now_ms += 5_000
    await store.commit([make.result(row)])

    found = await store.read("billing", row.case.id)

    assert found is not None
    assert [(one.event, one.channel) for one in found.timeline] == [
        ("accepted", ""),
        ("attempt.deferred", "sms"),
        ("attempt.accepted", "sms"),
    ]
    assert [one.at_ms - found.created_ms for one in found.timeline] == [0, 5_000, 10_000]


async def test_message_is_shown_to_its_tenant_alone(store: Store, make: Any) -> None:
    ours, report = make.message(), make.message(internal=True)
    await store.accept([ours, report])

    assert await store.read("billing", ours.id) is not None
    assert await store.read("other", ours.id) is None
    assert await store.read("billing", report.id) is None
    assert await store.read("billing", make.id()) is None
    assert (await store.list("other", MessageFilter())).messages == []
    assert [one.id for one in (await store.list("billing", MessageFilter())).messages] == [ours.id]


async def shown(store: Store, message: MessageId) -> tuple[State, set[State]]:
    """The state as it reads, and the states under which the list finds it."""
    found = await store.read("billing", message)
    assert found is not None
    (listed,) = (await store.list("billing", MessageFilter())).messages
    assert listed.state is found.state
    by_filter = {
        state
        for state in State
        if (await store.list("billing", MessageFilter(state=state))).messages
    }
    return found.state, by_filter


async def test_states_of_work_are_told_apart(store: Store, make: Any) -> None:
    message = make.message(start_in=5.0)
    await store.accept([message])
    scheduled = await shown(store, message.id)
    await store.promote("sms", 2, now_ms=make.now_ms + 5_000, limit=1)
    queued = await shown(store, message.id)
    (row,) = await store.claim(make.request())
    sending = await shown(store, message.id)
    later = make.row(row.case, due_ms=make.now_ms + 60_000, attempts=1, epoch=1, retry=True)
    await store.commit([make.result(row, Outcome.DEFERRED, state=State.QUEUED, put=[later])])
    put_off = await shown(store, message.id)

    assert scheduled == (State.SCHEDULED, {State.SCHEDULED})
    assert queued == (State.QUEUED, {State.QUEUED})
    assert sending == (State.SENDING, {State.SENDING})
    assert put_off == (State.QUEUED, {State.QUEUED})


async def pages(store: Store, query: MessageFilter) -> list[list[str]]:
    found: list[list[str]] = []
    cursor = ""
    while True:
        page: MessagePage = await store.list(
            "billing",
            MessageFilter(
                state=query.state,
                category=query.category,
                since_ms=query.since_ms,
                until_ms=query.until_ms,
                cursor=cursor,
                limit=query.limit,
            ),
        )
        found.append([one.id for one in page.messages])
        cursor = page.next_cursor
        if not cursor:
            return found


async def test_list_is_paged_newest_first(store: Store, make: Any) -> None:
    made = []
    for _ in range(7):
        make.now_ms += 1
        made.append(make.message())
    await store.accept(made)
    newest_first = [one.id for one in reversed(made)]

    assert await pages(store, MessageFilter(limit=3)) == [
        newest_first[:3],
        newest_first[3:6],
        newest_first[6:],
    ]
    assert await pages(store, MessageFilter(limit=7)) == [newest_first]


async def test_lists_show_metadata_whatever_it_holds(store: Store, make: Any) -> None:
    nasty = {"nul": "a\x00b", "quote": 'a"\\u0000', "emoji": "🎉"}
    await ended(store, make, State.FAILED, metadata=nasty)
    await ended(store, make, State.FAILED)
    await ended(store, make, State.FAILED, metadata={"order": "A17"})

    page = await store.list("billing", MessageFilter())
    dead = await store.dead(tenant=None, cursor="", limit=10)

    assert [one.metadata for one in page.messages] == [{"order": "A17"}, {}, nasty]
    assert [one.metadata for _, one in dead] == [nasty, {}, {"order": "A17"}]


async def test_list_is_filtered_by_time_category_and_state(store: Store, make: Any) -> None:
    start = make.now_ms
    made = []
    for number in range(6):
        make.now_ms = start + number * 1000
        category = "otp" if number % 2 else "service"
        made.append(await ended(store, make, State.FAILED, category=category))
    await store.accept([make.message(category="otp")])

    window = MessageFilter(since_ms=start + 1000, until_ms=start + 4000)
    failed_otp = MessageFilter(category="otp", state=State.FAILED, limit=2)

    assert await pages(store, window) == [[made[3], made[2], made[1]]]
    assert await pages(store, failed_otp) == [[made[5], made[3]], [made[1]]]
    assert await pages(store, MessageFilter(state=State.SENT)) == [[]]
    assert await pages(store, MessageFilter(until_ms=0)) == [[]]


async def test_lists_by_state_are_the_tenant_s_own(store: Store, make: Any) -> None:
    mine = await ended(store, make, State.FAILED)
    make.now_ms += 1
    await ended(store, make, State.FAILED, tenant="shop")
    waiting, later = make.message(category="otp"), make.message(start_in=60.0)
    theirs = make.message(tenant="shop")
    await store.accept([waiting, later, theirs])
    (row,) = await store.claim(make.request(limit=1))

    listed = {
        state: (await pages(store, MessageFilter(state=state)))[0]
        for state in (State.FAILED, State.SENDING, State.QUEUED, State.SCHEDULED, State.CANCELLED)
    }

    mine_is_claimed = row.case.id == waiting.id
    assert listed == {
        State.FAILED: [mine],
        State.SENDING: [waiting.id] if mine_is_claimed else [],
        State.QUEUED: [] if mine_is_claimed else [waiting.id],
        State.SCHEDULED: [later.id],
        State.CANCELLED: [],
    }


async def test_dead_letters_are_read_oldest_first(store: Store, make: Any) -> None:
    made: list[tuple[str, MessageId]] = []
    for state in (State.FAILED, State.SENT, State.EXPIRED, State.UNKNOWN, State.CANCELLED):
        made.append((state, await ended(store, make, state)))
    other = await ended(store, make, State.FAILED, tenant="other")
    await ended(store, make, State.FAILED, internal=True)
    dead = [id_ for state, id_ in made if state in (State.FAILED, State.EXPIRED, State.UNKNOWN)]

    first = await store.dead(tenant=None, cursor="", limit=2)
    rest = await store.dead(tenant=None, cursor=first[-1][1].id, limit=10)
    one = await store.dead(tenant="other", cursor="", limit=10)

    assert [(tenant, seen.id) for tenant, seen in [*first, *rest]] == [
        *(("billing", id_) for id_ in dead),
        ("other", other),
    ]
    assert [seen.id for _, seen in one] == [other]


async def test_webhooks_of_an_endpoint(store: Store, make: Any) -> None:
    made = []
    for state in (State.SENT, State.FAILED, State.EXPIRED):
        make.now_ms += 1000
        made.append(await ended(store, make, state, internal=True, endpoint="e"))
    await ended(store, make, State.FAILED, internal=True, endpoint="f")
    await ended(store, make, State.FAILED, endpoint="e")
    start = make.now_ms - 2000

    async def ids(**query: Any) -> Sequence[MessageId]:
        usual: dict[str, Any] = {"since_ms": start, "only_failed": False, "limit": 10}
        return await store.webhooks_of("e", **{**usual, **query})

    assert await ids() == made
    assert await ids(only_failed=True) == made[1:]
    assert await ids(since_ms=start + 1000) == made[1:]
    assert await ids(limit=2) == made[:2]


async def test_depths_count_unclaimed_rows_by_phase(store: Store, make: Any) -> None:
    await store.accept(make.messages(5))
    await store.accept([make.message(start_in=60.0), make.message(lane="email")])
    await store.claim(make.request(2))

    assert await store.depths() == {
        ("sms", "ready"): (3, make.now_ms),
        ("sms", "waiting"): (1, make.now_ms + 60_000),
        ("email", "ready"): (1, make.now_ms),
    }


async def purge(store: Store, make: Any, *, days: float, limit: int = 100) -> int:
    """As if retention were `days`, and early receipts were kept for a minute."""
    return await store.purge(
        before_ms=make.now_ms - int(days * DAY_MS),
        parked_before_ms=make.now_ms - 60_000,
        now_ms=make.now_ms,
        limit=limit,
    )


async def test_old_messages_go_with_everything_about_them(store: Store, make: Any) -> None:
    message = await sent(store, make, "SM1")
    make.now_ms += DAY_MS
    kept = await sent(store, make, "SM2")
    make.now_ms += DAY_MS

    assert await purge(store, make, days=1.5) == 1

    assert await store.read("billing", message) is None
    assert await store.cases([message, kept]) == {
        kept: (await store.cases([kept]))[kept],
    }
    gone, found = await store.find_attempts([named("SM1"), named("SM2")], now_ms=make.now_ms)
    assert gone is None
    assert found is not None


async def test_messages_with_work_are_never_purged(store: Store, make: Any) -> None:
    await store.accept([make.message(start_in=60.0), make.message(), make.message()])
    await store.claim(make.request(1))
    make.now_ms += 400 * DAY_MS

    assert await purge(store, make, days=1.0) == 0
    assert len((await store.list("billing", MessageFilter())).messages) == 3


async def test_purge_takes_as_many_as_it_may_and_tells(store: Store, make: Any) -> None:
    for _ in range(5):
        await sent(store, make)
    make.now_ms += 2 * DAY_MS

    counts = [await purge(store, make, days=1.0, limit=2) for _ in range(4)]

    assert counts == [2, 2, 1, 0]


async def test_keys_whose_time_is_over_count_as_purged(store: Store, make: Any) -> None:
    await store.accept([make.message(key=f"k{number}", dedupe=f"d{number}") for number in range(5)])
    make.now_ms += DAY_MS

    counts = [await purge(store, make, days=100.0, limit=3) for _ in range(3)]

    assert counts == [6, 4, 0]


async def test_receipts_of_strangers_are_dropped_in_time(store: Store, make: Any) -> None:
    await store.find_attempts([named("SM1")], now_ms=make.now_ms)
    make.now_ms += 30_000
    await store.find_attempts([named("SM2")], now_ms=make.now_ms)
    make.now_ms += 40_000

    assert await purge(store, make, days=1.0) == 1

    await sent(store, make, "SM1", "SM2")
    assert [one.reference for one in await store.parked(limit=10)] == ["SM2"]


async def test_purged_message_does_not_hold_its_key(store: Store, make: Any) -> None:
    first = make.message(key="k")
    await store.accept([first])
    (row,) = await store.claim(make.request())
    await store.commit([make.result(row)])
    make.now_ms += DAY_MS // 2
    await purge(store, make, days=0.1)
    again = make.message(key="k")

    (accepted,) = await store.accept([again])

    assert getattr(accepted, "id", None) == again.id


@pytest.mark.parametrize("count", [0, 1])
async def test_cases_of_nobody(store: Store, make: Any, count: int) -> None:
    assert await store.cases([make.id()] * count) == {}
