"""Recipients that two nodes write at once."""

from typing import Any

import pytest

from gateway.model.recipient import PushDevice, Recipient
from gateway.model.values import replace
from gateway.store.postgres.session import Session
from gateway.store.postgres.store import PostgresStore
from gateway.store.recipients import DeadDevice, Hashed, RecipientRow

DEVICE = PushDevice(app="ios", token="t1")
DEAD = DeadDevice(hash="#t1", device=replace(DEVICE, reason="gone", since_ms=7))


def owner(id_: str) -> RecipientRow:
    recipient = Recipient(id=id_, push=(DEVICE,))
    return RecipientRow(recipient=recipient, addresses=[Hashed("push", DEAD.hash)])


async def test_whoever_comes_by_a_device_while_it_is_marked_dead_is_all_or_not_marked(
    nodes: list[PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs, _ = nodes
    await ours.upsert_recipients("shop", [owner("li")], now_ms=1)
    rows = Session.rows

    async def rows_and_then(session: Session, name: str, **values: Any) -> Any:
        found = await rows(session, name, **values)
        if name == "owners":
            monkeypatch.setattr(Session, "rows", rows)
            await theirs.upsert_recipients("shop", [owner("mei")], now_ms=2)
        return found

    monkeypatch.setattr(Session, "rows", rows_and_then)
    first = await ours.mark_dead(DEAD, now_ms=3)
    between = await ours.recipients("shop", ["li", "mei"])
    second = await ours.mark_dead(DEAD, now_ms=4)

    assert (first, second) == (1, 1)
    devices = {id_: one.recipient.push for id_, one in between.items()}
    assert devices == {"li": (DEAD.device,), "mei": (DEVICE,)}
    after = await ours.recipients("shop", ["mei"])
    assert after["mei"].recipient.push == (DEAD.device,)
