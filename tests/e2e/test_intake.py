"""What happens before anything is sent: keys, repeats, schedules, cancelling, bans, permission."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

TEXT = {"text": "Your order is on its way", "subject": "Your order"}
TO = {"phone": "+14155550123"}
SMS = [{"channel": "sms"}]
BODY = {"to": TO, "content": TEXT, "chain": SMS}


async def post(gateway: Any, body: Any, name: str, **more: Any) -> tuple[int, Any]:
    status, answer = await gateway.call("POST", "/v1/messages", body, Idempotency_Key=name, **more)
    return status, answer


async def test_concurrent_posts_of_one_key_make_one_message(stand: Any, eventually: Any) -> None:
    gateway = await stand.start()

    answers = await asyncio.gather(*(post(gateway, BODY, "order-A17") for _ in range(500)))
    ids = Counter((status, answer["id"]) for status, answer in answers)
    id = answers[0][1]["id"]
    await gateway.until(id, "delivered")

    assert ids == {(202, id): 500}
    assert stand.database.one("SELECT count(*) FROM message WHERE internal = 0") == 1
    assert stand.acme.log.total == 1


async def test_key_outlives_a_restart_and_refuses_another_body(stand: Any) -> None:
    gateway = await stand.start()
    _, first = await post(gateway, BODY, "order-A17")
    await gateway.until(first["id"], "delivered")
    await gateway.stop()

    gateway = await stand.start()
    status, again = await post(gateway, BODY, "order-A17")
    conflict, problem = await post(gateway, {**BODY, "metadata": {"a": 1}}, "order-A17")
    theirs = await post(gateway, BODY, "order-A17", key="gw_e2e_key_of_other")

    assert (status, again["id"]) == (202, first["id"])
    assert (conflict, problem["title"]) == (409, "Idempotency key reused")
    assert first["id"] not in str(problem)
    assert theirs[0] == 202
    assert theirs[1]["id"] != first["id"]
    await gateway.until(first["id"], "delivered")
    assert stand.acme.log.copies().total() <= 2


async def test_batch_items_carry_keys_of_their_own(stand: Any) -> None:
    gateway = await stand.start()
    batch = [{**BODY, "idempotency_key": f"k{at % 2}"} for at in range(4)]
    batch.append({**BODY, "metadata": {"b": 1}, "idempotency_key": "k0"})

    status, answer = await gateway.call("POST", "/v1/messages/batch", batch)

    ids = [one.get("id") for one in answer["results"]]
    assert status == 202
    assert (ids[0], ids[1]) == (ids[2], ids[3])
    assert ids[0] != ids[1]
    assert answer["results"][4]["problem"]["status"] == 409


async def test_duplicates_by_key_and_by_content_are_sent_once(stand: Any) -> None:
    gateway = await stand.start()
    by_key = {**BODY, "dedupe": {"key": "login-42", "window": "60s"}}
    by_content = {**BODY, "to": {"phone": "+14155550124"}, "dedupe": {"window": "60s"}}

    firsts = [await gateway.call("POST", "/v1/messages", one) for one in (by_key, by_content)]
    agains = [
        await gateway.call("POST", "/v1/messages", {**by_key, "content": {"text": "another"}}),
        await gateway.call("POST", "/v1/messages", by_content),
    ]
    different = await gateway.call(
        "POST", "/v1/messages", {**by_content, "content": {"text": "another"}}
    )
    theirs = await gateway.call("POST", "/v1/messages", by_key, key="gw_e2e_key_of_other")

    for (_, first), (status, again) in zip(firsts, agains, strict=True):
        assert (status, again["id"], again["duplicate"]) == (202, first["id"], True)
    assert "duplicate" not in different[1]
    assert "duplicate" not in theirs[1]
    for _, answer in (*firsts, different):
        await gateway.until(answer["id"], "delivered")
    assert await gateway.metric("gateway_messages_refused_total", reason="duplicate") == 2


async def test_duplicate_is_free_again_once_the_first_has_failed(stand: Any) -> None:
    gateway = await stand.start({"lanes": {"sms": {"providers": ["acme"]}}})
    body = {"to": {"phone": "+15005550002"}, "content": TEXT, "chain": SMS}
    body["dedupe"] = {"key": "once", "window": "1h"}
    first = await gateway.send(**body)
    await gateway.until(first, "failed")

    _, again = await gateway.call("POST", "/v1/messages", {**body, "to": TO})

    assert "duplicate" not in again
    await gateway.until(again["id"], "delivered")


async def test_scheduled_message_waits_for_its_time(stand: Any) -> None:
    gateway = await stand.start()
    at = datetime.now(UTC) + timedelta(seconds=1.5)

    status, answer = await gateway.call("POST", "/v1/messages", {**BODY, "send_at": at.isoformat()})
    waiting = await gateway.read(answer["id"])
    seen = await gateway.until(answer["id"], "delivered")

    assert (status, answer["state"], waiting["state"]) == (202, "scheduled", "scheduled")
    sent = next(one["at"] for one in seen["timeline"] if one["event"] == "attempt.accepted")
    assert datetime.fromisoformat(sent) >= at.replace(microsecond=at.microsecond // 1000 * 1000)


async def test_scheduled_message_can_be_cancelled_once(stand: Any, happened: Any) -> None:
    gateway = await stand.start()
    at = datetime.now(UTC) + timedelta(hours=1)
    id = await gateway.send(**BODY, send_at=at.isoformat())

    theirs, _ = await gateway.call("POST", f"/v1/messages/{id}/cancel", key="gw_e2e_key_of_other")
    status, answer = await gateway.call("POST", f"/v1/messages/{id}/cancel")
    again, problem = await gateway.call("POST", f"/v1/messages/{id}/cancel")

    assert (theirs, status, again) == (404, 200, 409)
    assert (answer["state"], problem["title"]) == ("cancelled", "Conflict")
    assert "cancelled" in happened(answer)
    assert stand.database.one("SELECT count(*) FROM queue WHERE message = ?", id) == 0


async def test_message_that_is_being_sent_cannot_be_cancelled(stand: Any, eventually: Any) -> None:
    stand.acme.knobs.hang = True
    gateway = await stand.start()
    id = await gateway.send(**BODY)
    await eventually(lambda: stand.acme.log.total == 1)

    status, _ = await gateway.call("POST", f"/v1/messages/{id}/cancel")
    state = (await gateway.read(id))["state"]
    stand.acme.knobs.hang = False

    assert (status, state) == (409, "sending")
    await gateway.until(id, "delivered")


async def test_hard_bounce_bans_the_address_for_good(stand: Any, attempts: Any) -> None:
    gateway = await stand.start()
    mail = {"to": {"email": "bounce@example.com"}, "content": TEXT}
    first = await gateway.send(**mail)
    bounced = await gateway.until(first, "failed")

    status, answer = await gateway.call("POST", "/v1/messages", mail)
    second = await gateway.read(answer["id"])
    both = await gateway.send(**{**mail, "to": {**mail["to"], **TO}})
    reached = await gateway.until(both, "delivered")

    assert attempts(bounced) == ["rejected/relay"]
    assert (status, second["state"], attempts(second)) == (202, "suppressed", [])
    assert attempts(reached) == ["accepted/acme"]
    assert stand.relay.log.total == 1


async def test_opt_out_by_receipt_stops_what_is_waiting(stand: Any, eventually: Any) -> None:
    offers = {"chain": [{"channel": "sms"}], "unsubscribe": True}
    gateway = await stand.start(
        {"categories": {"offers": offers}, "lanes": {"sms": {"providers": ["acme"]}}}
    )
    refused = {"phone": "+15005550012"}
    at = datetime.now(UTC) + timedelta(seconds=2)
    news = {"to": refused, "content": TEXT, "chain": SMS, "category": "offers"}
    waiting = await gateway.send(**news, send_at=at.isoformat())
    first = await gateway.send(**news)
    await gateway.until(first, "failed")

    seen = await gateway.until(waiting, "suppressed")

    assert stand.acme.log.total == 1
    assert "opted_out" in str(seen["timeline"])


async def test_category_that_needs_consent_refuses_without_it(stand: Any) -> None:
    gateway = await stand.start()
    news = {**BODY, "category": "news"}
    before = stand.database.counts()

    status, problem = await gateway.call("POST", "/v1/messages", news)
    after = stand.database.counts()
    consent = {"category": "news", "source": "form", "at": "2026-01-01T00:00:00Z"}
    await gateway.call("PUT", "/v1/consents", [{"to": {"phone": TO["phone"]}, **consent}])
    agreed = await gateway.send(**news)

    assert (status, problem["faults"][0]["field"]) == (422, "to")
    assert after == before
    await gateway.until(agreed, "delivered")


async def test_foreign_messages_are_not_there(stand: Any) -> None:
    gateway = await stand.start()
    id = await gateway.send(**BODY)
    await gateway.until(id, "delivered")
    key = "gw_e2e_key_of_other"

    statuses = [
        (await gateway.call(method, path, key=key))[0]
        for method, path in (
            ("GET", f"/v1/messages/{id}"),
            ("POST", f"/v1/messages/{id}/cancel"),
            ("POST", f"/v1/messages/{id}/redrive"),
        )
    ]
    _, listed = await gateway.call("GET", "/v1/messages", key=key)

    assert statuses == [404, 404, 404]
    assert listed["messages"] == []


async def test_preview_stores_and_sends_nothing(stand: Any) -> None:
    gateway = await stand.start()
    before = stand.database.counts()

    status, answer = await gateway.call("POST", "/v1/preview", BODY)

    assert (status, answer["decision"]) == (200, "send")
    assert answer["chain"][0]["content"] == {"text": TEXT["text"]} | {"subject": TEXT["subject"]}
    assert stand.database.counts() == before
    assert stand.acme.log.total == 0
