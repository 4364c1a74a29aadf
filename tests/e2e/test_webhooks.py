"""Reports to callers: retried, paused, switched off, replayed; endpoints made over the API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

TEXT = {"text": "Your order is on its way"}
BODY = {"to": {"phone": "+14155550123"}, "content": TEXT, "chain": [{"channel": "sms"}]}
OTHER_KEY = "gw_e2e_key_of_other"


@pytest.fixture(autouse=True)
def _no_receipts(stand: Any) -> None:
    """One report a message: `sent`."""
    stand.acme.knobs.receipt = None


async def test_failed_report_comes_again_under_its_old_id(
    stand: Any, eventually: Any, jump_clock: Any
) -> None:
    # the delays are five seconds and five minutes, and signatures may be five minutes off
    clock = jump_clock(datetime.now(UTC) - timedelta(minutes=4))
    gateway = await stand.start(clock=clock)
    hooks = await stand.hooks(gateway)
    hooks.statuses[:] = [500, 503]

    id = await gateway.send(**BODY)
    for refusals in (1, 2):
        await eventually(lambda n=refusals: len(hooks.refused) == n)
        due = await eventually(lambda: next_try(stand))
        clock.jump_to(due)

    await eventually(lambda: hooks.types(id) == ["message.sent"])
    assert hooks.refused == [hooks.taken[0][0]] * 2


def next_try(stand: Any) -> Any:
    """When the webhook that failed is due; None while it is under way."""
    rows = stand.database.rows(
        "SELECT due_ms FROM queue WHERE lane = 'webhook' AND owner IS NULL AND attempts > 0"
    )
    return rows[0][0] if rows else None


async def test_dead_receiver_does_not_hold_up_others(stand: Any, eventually: Any) -> None:
    stand.receiver.knobs.hang = True
    gateway = await stand.start()
    hooks = await stand.hooks(gateway)

    ids = [await gateway.send(**BODY) for _ in range(20)]
    await eventually(lambda: len(hooks.taken) == 20)

    assert sorted(body["data"]["id"] for _, body in hooks.taken) == sorted(ids)
    assert stand.receiver.bodies == {}
    assert stand.receiver.log.total <= 2  # in flight at once
    stand.receiver.knobs.hang = False


async def test_endpoint_that_is_gone_is_switched_off_until_it_is_put_again(
    stand: Any, eventually: Any
) -> None:
    gateway = await stand.start()
    hooks = await stand.hooks(gateway)
    hooks.statuses[:] = [410]
    await gateway.send(**BODY)

    async def endpoint() -> Any:
        listed = (await gateway.call("GET", "/v1/webhooks"))[1]["webhooks"]
        return next(one for one in listed if not one["configured"])

    async def switched_off() -> bool:
        return not (await endpoint())["enabled"]

    await eventually(switched_off)
    off = await endpoint()
    unheard = await gateway.send(**BODY)
    await gateway.until(unheard, "sent")
    status, on = await gateway.call(
        "PUT", f"/v1/webhooks/{off['id']}", {"url": hooks.url, "secret": hooks.secret}
    )
    heard = await gateway.send(**BODY)
    await eventually(lambda: hooks.types(heard) == ["message.sent"])

    assert "410" in off["disabled_reason"]
    assert (status, on["enabled"]) == (200, True)
    assert hooks.types(unheard) == []
    assert len(hooks.refused) == 1


async def test_reports_can_be_replayed(stand: Any, eventually: Any) -> None:
    gateway = await stand.start()
    hooks = await stand.hooks(gateway)
    ids = [await gateway.send(**BODY) for _ in range(3)]
    await eventually(lambda: len(hooks.taken) == 3)
    first = {key: body["data"]["id"] for key, body in hooks.taken}
    await eventually(lambda: stand.database.one("SELECT count(*) FROM queue") == 0)
    listed = (await gateway.call("GET", "/v1/webhooks"))[1]["webhooks"]
    endpoint = next(one["id"] for one in listed if not one["configured"])
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    path = f"/v1/webhooks/{endpoint}/replay"

    nothing = await gateway.call("POST", path, {"since": since})
    everything = await gateway.call("POST", path, {"since": since, "only_failed": False})
    await eventually(lambda: len(hooks.taken) == 6)

    assert (nothing, everything) == ((202, {"queued": 0}), (202, {"queued": 3}))
    assert {key: body["data"]["id"] for key, body in hooks.taken[3:]} == first
    assert sorted(first.values()) == sorted(ids)


async def test_endpoints_are_made_read_replaced_and_deleted(stand: Any, eventually: Any) -> None:
    gateway = await stand.start()

    status, made = await gateway.call(
        "PUT", "/v1/webhooks", {"url": f"{stand.receiver.url}/mine", "events": ["message.sent"]}
    )
    path = f"/v1/webhooks/{made['id']}"
    replaced = await gateway.call("PUT", path, {"url": f"{stand.receiver.url}/new"})
    listed = (await gateway.call("GET", "/v1/webhooks"))[1]["webhooks"]
    deleted = await gateway.call("DELETE", path)
    again = await gateway.call("DELETE", path)

    assert (status, made["enabled"], made["events"]) == (201, True, ["message.sent"])
    assert made["secret"].startswith("whsec_")
    assert replaced[1]["secret"] not in ("", made["secret"])
    assert [one["url"] for one in listed if not one["configured"]] == [f"{stand.receiver.url}/new"]
    assert all("secret" not in one for one in listed)
    assert (deleted, again[0]) == ((204, None), 404)


async def test_configured_endpoint_is_read_only(stand: Any) -> None:
    gateway = await stand.start()
    (configured,) = (await gateway.call("GET", "/v1/webhooks"))[1]["webhooks"]
    path = f"/v1/webhooks/{configured['id']}"

    replaced, _ = await gateway.call("PUT", path, {"url": f"{stand.receiver.url}/x"})
    deleted, _ = await gateway.call("DELETE", path)

    assert (replaced, deleted) == (409, 409)


async def test_foreign_endpoints_are_not_there(stand: Any) -> None:
    gateway = await stand.start()
    await stand.hooks(gateway)
    listed = (await gateway.call("GET", "/v1/webhooks"))[1]["webhooks"]
    since = datetime.now(UTC).isoformat()

    statuses = {
        (
            (await gateway.call("PUT", path, {"url": stand.receiver.url}, key=OTHER_KEY))[0],
            (await gateway.call("DELETE", path, key=OTHER_KEY))[0],
            (await gateway.call("POST", f"{path}/replay", {"since": since}, key=OTHER_KEY))[0],
        )
        for path in [f"/v1/webhooks/{one['id']}" for one in listed]
    }

    assert statuses == {(404, 404, 404)}
    assert (await gateway.call("GET", "/v1/webhooks", key=OTHER_KEY))[1] == {"webhooks": []}
    assert (await gateway.call("GET", "/v1/webhooks"))[1]["webhooks"] == listed


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.3/hooks",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://user:password@127.0.0.1/",
        "ftp://127.0.0.1/",
        "https://2130706433:99999/",
    ],
)
async def test_targets_outside_the_rules_are_refused(stand: Any, url: str) -> None:
    gateway = await stand.start()

    status, problem = await gateway.call("PUT", "/v1/webhooks", {"url": url})

    assert (status, problem["faults"][0]["field"]) == (422, "url")
    assert url not in str(problem)


async def test_deleted_endpoint_hears_nothing_more(stand: Any, eventually: Any) -> None:
    gateway = await stand.start()
    hooks = await stand.hooks(gateway)
    hooks.statuses[:] = [500]
    await gateway.send(**BODY)
    await eventually(lambda: len(hooks.refused) == 1)
    listed = (await gateway.call("GET", "/v1/webhooks"))[1]["webhooks"]
    endpoint = next(one["id"] for one in listed if not one["configured"])

    await gateway.call("DELETE", f"/v1/webhooks/{endpoint}")
    id = await gateway.send(**BODY)
    await eventually(lambda: len(stand.receiver.bodies) == 2)

    assert hooks.types(id) == []
    assert hooks.taken == []
