"""SIGTERM under load: nothing new is begun, what is under way ends, the rest waits on disk."""

import asyncio
from typing import Any

import aiohttp
import pytest

TEXT = {"text": "Your order is on its way"}
ITEM = {"to": {"phone": "+14155550123"}, "content": TEXT, "chain": [{"channel": "sms"}]}


@pytest.fixture
async def loaded(served: Any, eventually: Any) -> Any:
    """A gateway with four sends under way and many more to come."""
    served.stand.acme.knobs.latency = 1.0
    served.stand.acme.knobs.receipt = None
    served.configure(
        {
            "providers": {"acme": {"concurrency": 4}},
            "lanes": {"sms": {"providers": ["acme"]}},
        }
    )
    child = await served.start()
    status, answer = await served.api.call("POST", "/v1/messages/batch", [ITEM] * 40)
    assert status == 202
    await eventually(lambda: served.stand.acme.log.total >= 4)
    return child, {one["id"] for one in answer["results"]}


async def post_until_the_end(served: Any, child: Any) -> set[str]:
    """Ids that a gateway acknowledges while it drains, if it does so at all."""
    acknowledged = set()
    while child.is_running:
        try:
            status, answer = await served.api.call("POST", "/v1/messages", ITEM)
        except (aiohttp.ClientError, OSError):
            pass  # no answer, no promise
        else:
            if status == 202:
                acknowledged.add(answer["id"])
        await asyncio.sleep(0.01)
    return acknowledged


async def test_drained_gateway_loses_nothing_and_repeats_nothing(
    served: Any, loaded: Any, eventually: Any
) -> None:
    stand = served.stand
    child, ids = loaded

    child.terminate()

    async def not_ready() -> bool:
        return bool(await served.readiness() == 503)

    await eventually(not_ready)
    late = await post_until_the_end(served, child)
    code = await child.ended()
    sent = stand.acme.log.taken
    left = stand.database.one("SELECT count(*) FROM queue WHERE lane = 'sms'")
    claimed = stand.database.one("SELECT count(*) FROM queue WHERE owner IS NOT NULL")
    stand.acme.knobs.latency = 0.0
    await served.start()
    await eventually(lambda: stand.database.one("SELECT count(*) FROM queue") == 0)

    assert code == 0, child.stderr
    ids |= late
    assert (claimed, left) == (0, len(ids) - sent)
    assert 4 <= sent < len(ids)
    copies = stand.acme.log.copies()
    assert {one[:36] for one in copies} == ids
    assert set(copies.values()) == {1}
    states = stand.database.rows(
        "SELECT DISTINCT state FROM status JOIN message ON id = message WHERE internal = 0"
    )
    assert states == [("sent",)]
    assert stand.database.one("SELECT count(*) FROM attempt WHERE outcome = 'unknown'") == 0
    assert "Traceback" not in child.stderr


async def test_deadline_of_the_drain_cuts_off_what_hangs(served: Any, eventually: Any) -> None:
    stand = served.stand
    stand.acme.knobs.hang = True
    served.configure({"dispatch": {"drain": "500ms"}, "lanes": {"sms": {"providers": ["acme"]}}})
    child = await served.start()
    _, answer = await served.api.call("POST", "/v1/messages", ITEM)
    await eventually(lambda: stand.acme.log.total == 1)

    child.terminate()
    code = await child.ended()
    stand.acme.knobs.hang = False
    await served.start()
    seen = await served.api.until(answer["id"], "delivered")

    assert code == 0
    assert [one["event"] for one in seen["timeline"]].count("attempt.unknown") == 1
