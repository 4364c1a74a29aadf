"""Frequency caps over the API: what a preview tells, what happens, and what is told after."""

from typing import Any

TO = {"phone": "+14155550123", "recipient": "li"}
BODY = {
    "to": TO,
    "category": "service",
    "content": {"text": "An offer"},
    "chain": [{"channel": "sms"}],
}
CAPS = {"caps": {"offers": {"most": 1, "within": "1d", "categories": ["service"]}}}
DROPPING = {"caps": {"offers": {"over": "drop"}}}


async def preview(gateway: Any, **fields: Any) -> tuple[str, list[str]]:
    status, answer = await gateway.call("POST", "/v1/preview", {**BODY, **fields})
    assert status == 200, answer
    return answer["decision"], answer["reasons"]


async def test_preview_timeline_and_metrics_tell_of_a_cap(stand: Any) -> None:
    gateway = await stand.start(CAPS)

    before = await preview(gateway)
    first = await gateway.send(**BODY)
    await gateway.until(first, "sent", "delivered")
    after = await preview(gateway, expires_in="2d")
    short = await preview(gateway, expires_in="1h")
    second = await gateway.send(**BODY, expires_in="1h")
    ended = await gateway.until(second, "suppressed")

    assert before == ("send", ["cap:offers: 0 of 1 within 1d used"])
    assert after == ("defer", ["cap:offers: 1 of 1 within 1d used"])
    assert short == ("suppress", after[1])
    assert ("suppressed", "cap:offers") in [
        (one["event"], one.get("detail")) for one in ended["timeline"]
    ]
    assert await gateway.metric("gateway_cap_decisions_total", cap="offers", decision="passed") == 1
    assert (
        await gateway.metric("gateway_cap_decisions_total", cap="offers", decision="dropped") == 1
    )
    assert TO["phone"] not in str(stand.database.rows("SELECT * FROM cap_use"))
    assert len(stand.database.rows("SELECT * FROM cap_use")) == 1


async def test_what_waits_for_its_place_says_so_and_goes_when_it_is_free(
    stand: Any, jump_clock: Any
) -> None:
    clock = jump_clock()
    gateway = await stand.start(CAPS, clock=clock)
    first = await gateway.send(**BODY)
    await gateway.until(first, "sent", "delivered")

    second = await gateway.send(**BODY, expires_in="3d")
    waiting = await gateway.until(second, "scheduled", "queued")
    while "deferred" not in [one["event"] for one in waiting["timeline"]]:
        waiting = await gateway.read(second)
    clock.jump(86_400.0)

    await gateway.until(second, "sent", "delivered")


async def test_uses_outlive_a_restart(stand: Any) -> None:
    gateway = await stand.start(CAPS)
    first = await gateway.send(**BODY)
    await gateway.until(first, "sent", "delivered")
    await gateway.stop()

    gateway = await stand.start(DROPPING)
    second = await gateway.send(**BODY)

    await gateway.until(second, "suppressed")


MERGING = {
    "caps": {"offers": {**CAPS["caps"]["offers"], "over": "merge", "digest": "round-up"}},
    "templates": {
        "round-up": {
            channel: {"text": "{{ count }}:{% for one in items %} {{ one.text }}{% endfor %}"}
            for channel in ("push", "sms", "email")
        }
    },
}


async def test_what_waits_for_the_same_place_is_merged_and_all_of_it_is_told(
    stand: Any, jump_clock: Any
) -> None:
    clock = jump_clock()
    gateway = await stand.start(MERGING, clock=clock)
    first = await gateway.send(**BODY)
    await gateway.until(first, "sent", "delivered")

    items = []
    for text in ("shoes", "hats"):
        items.append(await gateway.send(**{**BODY, "content": {"text": text}}, expires_in="3d"))
        waiting = await gateway.read(items[-1])
        while "deferred" not in [one["event"] for one in waiting["timeline"]]:
            waiting = await gateway.read(items[-1])
    decision, reasons = await preview(gateway, expires_in="2d")
    clock.jump(86_400.0)
    ended = [await gateway.until(one, "cancelled") for one in items]

    assert (decision, reasons) == (
        "merge",
        ["cap:offers: 1 of 1 within 1d used, 2 wait to be merged"],
    )
    (detail,) = {one["timeline"][-1]["detail"] for one in ended}
    digest = await gateway.until(detail.removeprefix("merged into "), "sent", "delivered")
    assert digest["metadata"] == {"merged": items}
    assert [one["detail"] for one in digest["timeline"] if one["event"] == "merged"] == items
    merged = await gateway.metric("gateway_cap_decisions_total", cap="offers", decision="merged")
    assert merged == 2
