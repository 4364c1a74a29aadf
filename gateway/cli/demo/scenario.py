"""What the demo sends: a few kinds of messages, each of which shows one thing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.cli.demo import people
from gateway.model.state import State
from gateway.sandbox.http import LATE

_LADDER = [
    {"channel": "push", "until": "delivered", "within": "2s"},
    {"channel": "sms"},
    {"channel": "email"},
]

#: Numbers of the simulators (`sandbox.magic.PHONES`): content refused; handset off, in China; taken
#: and never reported on.
_REFUSES, _OFF, _SILENT = "+15005550002", "+8615005550010", "+15005550014"

#: The push's receipt comes when the SMS is on its way, and before the email is due.
_LATE = [
    {"channel": "push", "until": "delivered", "within": "1s"},
    {"channel": "sms", "until": "delivered", "within": "4s"},
    {"channel": "email"},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of message, how many of them, and what should become of each."""

    #: at most 16 letters, so that the demo's table fits into 80 columns
    name: str
    #: for people
    chain: str
    #: messages in each round of all scenarios
    share: int
    body: Callable[[int], Mapping[str, Any]]
    #: the states that end it, and the channel that brings it there; '' nobody got it
    ends: Mapping[State, str]
    #: collected and posted in batches
    batched: bool = False

    def is_end(self, state: State, channel: str) -> bool:
        """Whether a message that a channel has brought to this state has come to its end."""
        return state in self.ends and self.ends[state] in ("", channel)

    def falls_back(self, state: State) -> bool:
        """Whether it comes to this end on a later channel than its first."""
        return not self.chain.startswith(self.ends[state])


def _phone(number: int) -> str:
    return f"+1415555{number % 10_000:04d}"


def _email(number: int) -> str:
    return f"person{number}@example.com"


def _push(number: int, app: str) -> Mapping[str, Any]:
    return {"app": app, "token": f"device-{number:08d}"}


def _parcel(number: int) -> Mapping[str, Any]:
    return {
        "to": {
            "push": [_push(number, "parcels")],
            "phone": _phone(number),
            "email": _email(number),
        },
        "category": "service",
        "chain": _LADDER,
        "content": {"title": "Your parcel is here", "text": f"Parcel {number} is at locker 7."},
    }


def _login(number: int) -> Mapping[str, Any]:
    return {
        "to": {"push": [_push(number, "login")], "phone": _phone(number), "email": _email(number)},
        "category": "otp",
        "template": "login-code",
        "data": {"code": f"{number % 1_000_000:06d}"},
    }


def _code(number: int) -> Mapping[str, Any]:
    return {
        "to": {"phone": _phone(number)},
        "category": "otp",
        "chain": [{"channel": "sms", "until": "delivered"}],
        "template": "login-code",
        "data": {"code": f"{number % 1_000_000:06d}"},
    }


def _chinese_code(number: int) -> Mapping[str, Any]:
    return {
        "to": {"phone": _OFF, "email": _email(number)},
        "category": "otp",
        "chain": [{"channel": "sms", "until": "delivered"}, {"channel": "email"}],
        "template": "login-code",
        "data": {"code": f"{number % 1_000_000:06d}"},
    }


def _newsletter(number: int) -> Mapping[str, Any]:
    return {
        "to": {"email": _email(number)},
        "category": "marketing",
        "content": {"subject": "News", "text": "Three things.", "html": "<p>Three things.</p>"},
    }


def _refused(number: int) -> Mapping[str, Any]:
    return {
        "to": {"phone": _REFUSES},
        "category": "service",
        "chain": [{"channel": "sms"}],
        "content": {"text": "The provider takes offence at this."},
    }


def _late(number: int) -> Mapping[str, Any]:
    return {
        "to": {
            "push": [{"app": "bank", "token": f"{LATE}{number:08d}"}],
            "phone": _SILENT,
            "email": f"{LATE}{number}@example.com",
        },
        "category": "otp",
        "chain": _LATE,
        "template": "login-code",
        "data": {"code": f"{number % 1_000_000:06d}"},
    }


def _offer(to: Mapping[str, Any], category: str) -> Callable[[int], Mapping[str, Any]]:
    content = {"subject": "An offer", "text": "Half the price, until tomorrow."}
    return lambda number: {"to": to, "category": category, "content": content}


SCENARIOS: Sequence[Scenario] = (
    Scenario(
        name="push, no receipt",
        chain="push→sms→email",
        share=6,
        body=_parcel,
        ends={State.DELIVERED: "sms"},
    ),
    Scenario(
        name="push delivered",
        chain="push→sms→email",
        share=6,
        body=_login,
        ends={State.DELIVERED: "push"},
    ),
    Scenario(
        name="provider fails",
        chain="sms",
        share=10,
        body=_code,
        ends={State.DELIVERED: "sms"},
    ),
    Scenario(
        name="handset off",
        chain="sms→email",
        share=3,
        body=_chinese_code,
        ends={State.SENT: "email"},
    ),
    Scenario(
        name="email throttled",
        chain="email",
        share=5,
        body=_newsletter,
        ends={State.SENT: "email"},
        batched=True,
    ),
    Scenario(
        name="content refused",
        chain="sms",
        share=1,
        body=_refused,
        ends={State.FAILED: "sms"},
    ),
    Scenario(
        name="quiet hours",
        chain="email",
        share=1,
        body=_offer({"recipient": people.SLEEPER}, "marketing"),
        ends={State.SCHEDULED: "", State.SENT: "email"},  # sent: the demo ran until morning
    ),
    Scenario(
        name="opted out",
        chain="email",
        share=1,
        body=_offer(people.LEAVER, "marketing"),
        ends={State.SUPPRESSED: ""},
    ),
    Scenario(
        name="over the cap",
        chain="email",
        share=1,
        body=_offer({"email": "keen@example.com"}, "deals"),
        ends={State.SENT: "email", State.SUPPRESSED: ""},  # sent: those that the cap has room for
    ),
    Scenario(
        name="receipt too late",
        chain="push→sms→email",
        share=2,
        body=_late,
        ends={State.DELIVERED: "push"},
    ),
)


def newsletters(rate: float) -> tuple[int, float]:
    """(size of a batch, messages a second that their relay takes) at a rate of all messages.

    A batch is some two seconds' worth, more than the relay lets through at once.
    """
    total = sum(one.share for one in SCENARIOS)
    own = rate * sum(one.share for one in SCENARIOS if one.batched) / total
    return max(15, round(2 * own)), max(6.0, 1.3 * own)


def mix() -> Iterator[Scenario]:
    """Scenarios for ever, by their shares and well mixed."""
    total = sum(one.share for one in SCENARIOS)
    credit = [0] * len(SCENARIOS)
    while True:
        credit = [have + one.share for have, one in zip(credit, SCENARIOS, strict=True)]
        richest = max(range(len(SCENARIOS)), key=credit.__getitem__)
        credit[richest] -= total
        yield SCENARIOS[richest]
