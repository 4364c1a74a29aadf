"""What callers send: a message made from a number alone, the same each time it is sent.

Addresses and text carry patterns that nothing else does, so that they are found where they must
not be.
"""

import random
import re
from collections.abc import Mapping
from typing import Any

#: Of the tenant; planted like the addresses.
KEY = "gw_planted_key_of_shop"
HOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RECEIPT_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

#: What occurs in no log, metric or error body.
PLANTED = re.compile(
    r"86138\d{8}|44740012\d{4}|4915112\d{6}|planted|" + "|".join((HOOK_SECRET[:16], "C2FVsBQIhrs"))
)

#: Lanes: `sms` has two accounts, `solo` one behind a wire, `metered` one with a rate.
MIX: Mapping[str, int] = {"pool": 8, "solo": 4, "mail": 4, "once": 2, "steps": 2}


class Traffic:
    """Messages of the kinds in `mix`, by weight."""

    def __init__(self, seed: int, mix: Mapping[str, int] = MIX) -> None:
        self._seed = seed
        self._chosen: dict[int, str] = {}
        #: may change between messages
        self.mix = mix

    def message(self, number: int) -> dict[str, Any]:
        """A message as it is posted, less its idempotency key."""
        made: dict[str, Any] = {
            "content": {"text": f"plantedtext {number}", "subject": f"planted subject {number}"},
            "metadata": {"n": number},
            "category": "service",
        }
        made.update(_KINDS[self._kind(number)](number))
        return made

    def _kind(self, number: int) -> str:
        if number not in self._chosen:
            chance = random.Random(f"{self._seed}/{number}")
            (kind,) = chance.choices(list(self.mix), list(self.mix.values()))
            self._chosen[number] = kind
        return self._chosen[number]


def _pool(number: int) -> dict[str, Any]:
    return {"to": {"phone": f"+86138{number:08d}"}, "chain": [{"channel": "sms"}]}


def _solo(number: int) -> dict[str, Any]:
    return {"to": {"phone": _briton(number)}, "chain": [{"channel": "sms"}]}


def _mail(number: int) -> dict[str, Any]:
    return {"to": {"email": f"planted.{number}@example.com"}, "chain": [{"channel": "email"}]}


def _once(number: int) -> dict[str, Any]:
    return {**_solo(number), "on_unknown": "stop"}


def _steps(number: int) -> dict[str, Any]:
    """Delivered by SMS within a time, else by mail."""
    return {
        "to": {**_solo(number)["to"], **_mail(number)["to"]},
        "chain": [
            {"channel": "sms", "until": "delivered", "within": "200ms"},
            {"channel": "email"},
        ],
        "on_unknown": "fallback",
    }


def _metered(number: int) -> dict[str, Any]:
    return {"to": {"phone": f"+4915112{number % 1_000_000:06d}"}, "chain": [{"channel": "sms"}]}


def _briton(number: int) -> str:
    return f"+44740012{number % 10_000:04d}"


_KINDS = {
    "pool": _pool,
    "solo": _solo,
    "mail": _mail,
    "once": _once,
    "steps": _steps,
    "metered": _metered,
}
