"""Hours in which nothing leaves, from the request to the provider's door."""

from datetime import UTC, datetime
from typing import Any

BODY = {
    "to": {"phone": "+14155550123", "zone": "Europe/Berlin"},
    "content": {"text": "Your order is on its way"},
    "chain": [{"channel": "sms"}],
}
RULES = {
    "timing": {"office": {"windows": ["Mon-Fri 09:00-20:00"], "holidays": "DE"}},
    "categories": {"service": {"timing": ["office"], "expires_in": "5d"}},
}
#: Whit Sunday; the day after is a holiday.
SUNDAY = datetime(2026, 5, 24, 12, tzinfo=UTC)
TUESDAY = "2026-05-26T07:00:00.000Z"


async def test_message_of_a_holiday_is_previewed_scheduled_and_sent_after_it(
    stand: Any, jump_clock: Any
) -> None:
    clock = jump_clock(SUNDAY)
    gateway = await stand.start(RULES, clock=clock)

    _, preview = await gateway.call("POST", "/v1/preview", BODY)
    status, accepted = await gateway.call("POST", "/v1/messages", BODY)
    waiting = stand.acme.log.total
    clock.jump_to(datetime.fromisoformat(TUESDAY).timestamp() * 1000)
    found = await gateway.until(accepted["id"], "delivered")

    assert (preview["decision"], preview["reasons"]) == ("defer", ["office"])
    assert preview["until"] == TUESDAY
    assert (status, accepted["state"], waiting) == (202, "scheduled", 0)
    events = [(one["event"], one["detail"]) for one in found["timeline"]][:2]
    assert events == [("accepted", ""), ("deferred", "office")]
    assert stand.acme.log.total == 1


async def test_zone_that_does_not_exist_is_refused_by_name(stand: Any) -> None:
    gateway = await stand.start()
    body = {**BODY, "to": {**BODY["to"], "zone": "Europe/Berlln"}}  # type: ignore[dict-item]

    status, problem = await gateway.call("POST", "/v1/messages", body)

    assert (status, [one["field"] for one in problem["faults"]]) == (422, ["to.zone"])
    assert "Berlln" not in str(problem)
