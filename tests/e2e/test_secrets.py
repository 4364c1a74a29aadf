"""What must stay between caller and recipient appears in no log, metric or error."""

import json
import logging
from typing import Any

import pytest

from gateway.sandbox.magic import Fate

PHONE = "+14155557361"
BRITON = "+447400987361"
MAIL = "planted.person@secret-domain.example.com"
TOKEN = "planted-device-token-7361"
WORDS = "plantedtext7361"
PROVIDER_TOKEN = "planted-provider-token-7361"
KEY = "gw_e2e_key_of_shop"
SECRETS = (
    *(PHONE, PHONE.removeprefix("+1"), BRITON, BRITON.removeprefix("+44")),
    *(MAIL, "planted.person", "secret-domain", TOKEN, WORDS, PROVIDER_TOKEN, KEY),
    *("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV"),
    "0123456789abcdef0123456789abcdef",  # the AuthToken of the simulator's account
)

CONTENT = {"text": f"Your code is {WORDS}", "subject": f"About {WORDS}"}
TO = {"phone": PHONE, "email": MAIL, "push": [{"app": "ios", "token": TOKEN}]}
CHAIN = [{"channel": "push"}, {"channel": "sms"}, {"channel": "email"}]
CONFIGURATION = {
    "providers": {"acme": {"headers": {"Authorization": f"Bearer {PROVIDER_TOKEN}"}}},
    "breaker": {"connects": 2, "probe_after": "200ms"},
    "retry": {"attempts": 3},
}


async def exercise(stand: Any, gateway: Any) -> list[Any]:
    """Send by every way, in good and bad; what the callers were told of errors."""
    final = ("sent", "delivered", "failed", "unknown", "suppressed")
    for fate in (Fate.TAKEN, Fate.TEMPORARY, Fate.PERMANENT, Fate.RECIPIENT):
        for simulator in (stand.beacon, stand.acme, stand.backup, stand.twilio, stand.relay):
            simulator.knobs.error_rate = float(fate is not Fate.TAKEN)
            simulator.knobs.error = fate if fate is not Fate.TAKEN else Fate.TEMPORARY
        for to in (TO, {"phone": BRITON}):
            id = await gateway.send(to=to, content=CONTENT, chain=CHAIN, metadata={"m": WORDS})
            await gateway.until(id, *final)
    for simulator in (stand.beacon, stand.acme, stand.backup, stand.twilio, stand.relay):
        simulator.knobs.error_rate, simulator.knobs.refuse = 0.0, True
    ids = [
        await gateway.send(to=to, content=CONTENT, chain=CHAIN) for to in (TO, {"phone": BRITON})
    ]
    for id in ids:
        await gateway.until(id, *final)
    wrong = [
        {"to": {"phone": PHONE + "x"}, "content": CONTENT},
        {"to": {"email": MAIL + "\r\n"}, "content": CONTENT},
        {"to": TO, "content": {"text": WORDS, "subject": WORDS + "\n"}},
        {"to": TO, "content": {**CONTENT, WORDS: 1}},
        {"to": TO, "category": WORDS, "content": CONTENT},
        {"to": TO, "template": WORDS, "data": {"a": WORDS}},
        {"to": TO, "content": CONTENT, "send_at": WORDS},
    ]
    problems = [(await gateway.call("POST", "/v1/messages", one))[1] for one in wrong]
    problems += (await gateway.call("POST", "/v1/messages/batch", wrong))[1]["results"]
    problems.append((await gateway.call("GET", f"/v1/messages?cursor={WORDS}"))[1])
    problems.append((await gateway.call("GET", "/v1/messages", key="gw_" + WORDS))[1])
    problems.append((await gateway.call("GET", "/v1/providers"))[1])
    problems.append((await gateway.call("GET", "/v1/webhooks"))[1])
    return problems


def planted(text: str) -> list[str]:
    return [one for one in SECRETS if one in text]


async def test_nothing_planted_is_logged_counted_or_answered(
    stand: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = await stand.start(CONFIGURATION)

    problems = await exercise(stand, gateway)

    logged = "\n".join(f"{one.name} {one.getMessage()} {one.args}" for one in caplog.records)
    assert len(caplog.records) > 5
    assert planted(logged) == []
    # a field's name is the caller's own, and the fault must name it
    assert set(planted(json.dumps(problems))) <= {WORDS}
    assert planted(await gateway.metrics()) == []


async def test_what_a_provider_says_is_kept_without_the_address(stand: Any) -> None:
    """The simulated relay repeats the address in its reply."""
    gateway = await stand.start()

    id = await gateway.send(to={"email": "unknown+planted@example.com"}, content=CONTENT)
    seen = await gateway.until(id, "failed")

    assert "planted" not in json.dumps(seen)
    assert "550" in json.dumps(seen)
