"""People with wishes, of which the gateway is told before the demo sends."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.cli.client import Client

#: Who sleeps now, as a recipient's id, and who wants no more offers.
SLEEPER = "sleeper"
LEAVER: Mapping[str, Any] = {"email": "left@example.com"}

#: It is quiet since some minutes, in case clocks differ, and for longer than demos run.
_SINCE, _FOR = timedelta(minutes=5), timedelta(hours=8)


async def describe(caller: Client) -> str:
    """Register the one and withdraw consent of the other. HH:MM in UTC when the one wakes."""
    asleep = quiet_hours(datetime.now(UTC))
    await caller.put_recipient(
        SLEEPER, {"email": "sleeper@example.com", "zone": "UTC", "quiet_hours": [asleep]}
    )
    await caller.withdraw([{"to": LEAVER, "category": "marketing", "source": "demo"}])
    return asleep["to"]


def quiet_hours(now: datetime) -> Mapping[str, str]:
    """Hours of a recipient who sleeps now, in the zone of `now`."""
    return {"from": f"{now - _SINCE:%H:%M}", "to": f"{now + _FOR:%H:%M}"}
