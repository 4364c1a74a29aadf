"""Which lane serves an address, and how lanes call for workers."""

from typing import Any

import pytest

from gateway import settings
from gateway.dispatch.lanes import Bells, match
from gateway.model import wire

LANES: dict[str, Any] = {
    "sms.world": {"channel": "sms", "providers": ["x"]},
    "sms.cn": {"channel": "sms", "providers": ["x"], "match": {"phone_prefix": ["+86"]}},
    "sms.hk": {"channel": "sms", "providers": ["x"], "match": {"phone_prefix": ["+852", "+853"]}},
    "sms.otp": {"channel": "sms", "providers": ["x"], "match": {"category": ["otp"]}},
    "sms.us.otp": {
        "channel": "sms",
        "providers": ["x"],
        "match": {"phone_prefix": ["+1"], "category": ["otp"]},
    },
    "email.bulk": {"channel": "email", "providers": ["y"], "match": {"category": ["marketing"]}},
}
PROVIDERS: dict[str, Any] = {
    "x": {"kind": "http", "channel": "sms", "url": "https://x"},
    "y": {"kind": "http", "channel": "email", "url": "https://y"},
}


@pytest.fixture(scope="module")
def lanes() -> Any:
    tables = {
        "lanes": LANES,
        "providers": PROVIDERS,
        "categories": {"otp": {}, "service": {}, "marketing": {"consent": False}},
    }
    return settings.parse(tables, environ={}).lanes


@pytest.mark.parametrize(
    ("phone", "category", "lane"),
    [
        ("+4477", "service", "sms.world"),
        ("+8613", "service", "sms.cn"),
        ("+8525", "service", "sms.hk"),
        ("+8535", "otp", "sms.hk"),
        ("+4477", "otp", "sms.otp"),
        ("+8613", "otp", "sms.cn"),
        ("+1201", "otp", "sms.us.otp"),
        ("+1201", "service", "sms.world"),
    ],
)
def test_most_specific_lane_wins(lanes: Any, phone: str, category: str, lane: str) -> None:
    address = wire.Address(phone=phone)

    assert match(lanes, channel=wire.Channel.SMS, category=category, address=address) == lane


def test_address_that_no_lane_serves(lanes: Any) -> None:
    address = wire.Address(email="li@example.com")

    found = match(lanes, channel=wire.Channel.EMAIL, category="service", address=address)

    assert found is None


async def test_bell_wakes_those_who_listen_to_its_lane() -> None:
    bells = Bells()
    both, other = bells.listen(["sms", "email"]), bells.listen(["push"])

    bells.ring("email")

    assert both.is_set()
    assert not other.is_set()


async def test_pins_that_rang_are_told_once() -> None:
    bells = Bells()

    bells.ring("webhook", "e1")
    bells.ring("webhook", "e2")
    bells.ring("webhook", "e1")

    assert bells.take_pins("webhook") == {"e1", "e2"}
    assert bells.take_pins("webhook") == set()
