"""Providers in trouble: who takes over, when nobody is asked, and when they are asked again."""

from typing import Any

from gateway.sandbox.magic import Fate

TEXT = {"text": "Your code is 834201"}
SMS = [{"channel": "sms"}]
TO = {"phone": "+14155550123"}

ONLY_ACME = {"lanes": {"sms": {"providers": ["acme"]}}}


async def test_second_provider_takes_over_after_a_5xx(stand: Any, attempts: Any) -> None:
    stand.acme.knobs.error_rate = 1.0
    gateway = await stand.start()

    id = await gateway.send(to=TO, content=TEXT, chain=SMS)
    seen = await gateway.until(id, "delivered")

    assert attempts(seen) == ["deferred/acme", "accepted/backup"]
    assert stand.backup.log.taken == 1


async def test_second_provider_takes_over_after_a_refused_connection(
    stand: Any, attempts: Any
) -> None:
    stand.acme.knobs.refuse = True
    gateway = await stand.start()

    id = await gateway.send(to=TO, content=TEXT, chain=SMS)
    seen = await gateway.until(id, "delivered")

    assert attempts(seen) == ["deferred/acme", "accepted/backup"]


async def breakers(gateway: Any) -> dict[str, str]:
    _, answer = await gateway.call("GET", "/v1/providers")
    return {one["account"]: one["breaker"] for one in answer["providers"]}


async def test_open_breaker_spares_the_provider_until_a_probe_succeeds(
    stand: Any, eventually: Any, attempts: Any
) -> None:
    stand.acme.knobs.refuse = True
    gateway = await stand.start({"breaker": {"connects": 3, "probe_after": "1s"}})
    for _ in range(3):
        await gateway.until(await gateway.send(to=TO, content=TEXT, chain=SMS), "delivered")
    open_ = await breakers(gateway)
    tripped = await gateway.metric("gateway_breaker_state", provider="acme", state="open")

    spared = await gateway.until(await gateway.send(to=TO, content=TEXT, chain=SMS), "delivered")
    stand.acme.knobs.refuse = False
    await stand.acme.ready()

    async def recovered() -> bool:
        id = await gateway.send(to=TO, content=TEXT, chain=SMS)
        return bool(attempts(await gateway.until(id, "delivered")) == ["accepted/acme"])

    assert (open_["acme"], open_["backup"], tripped) == ("open", "closed", 1)
    assert attempts(spared) == ["accepted/backup"]
    assert await eventually(recovered)
    assert (await breakers(gateway))["acme"] == "closed"


async def test_share_of_errors_opens_the_breaker_too(stand: Any, eventually: Any) -> None:
    stand.acme.knobs.error_rate = 1.0
    gateway = await stand.start({"breaker": {"minimum": 5, "probe_after": "1m"}})

    for _ in range(10):
        await gateway.until(await gateway.send(to=TO, content=TEXT, chain=SMS), "delivered")

    assert (await breakers(gateway))["acme"] == "open"
    assert stand.acme.log.total == 5
    assert stand.backup.log.taken == 10


async def test_retry_after_is_obeyed_by_a_pause_that_costs_no_attempt(
    stand: Any, attempts: Any
) -> None:
    stand.acme.knobs.throttle, stand.acme.knobs.retry_after = 2.0, 1.0
    gateway = await stand.start({**ONLY_ACME, "retry": {"attempts": 1}})

    ids = [await gateway.send(to=TO, content=TEXT, chain=SMS) for _ in range(3)]
    seen = [await gateway.until(id, "delivered") for id in ids]

    assert sum(len(attempts(one)) for one in seen) == stand.acme.log.total
    arrivals = stand.acme.log.arrivals
    throttled = [one.at for one in arrivals if one.fate is Fate.THROTTLED]
    after = [one.at for one in arrivals if one.at > throttled[0] + 0.1]
    assert after  # it was asked again, and not before it had said
    assert min(after) - throttled[0] >= 1.0


async def test_other_provider_serves_while_the_first_is_paused(stand: Any, attempts: Any) -> None:
    stand.acme.knobs.throttle, stand.acme.knobs.retry_after = 0.001, 3600.0
    gateway = await stand.start()
    ids = [await gateway.send(to=TO, content=TEXT, chain=SMS) for _ in range(4)]

    seen = [await gateway.until(id, "delivered") for id in ids]

    assert {attempts(one)[-1] for one in seen} == {"accepted/acme", "accepted/backup"}
    assert (stand.acme.log.taken, stand.backup.log.taken) == (1, 3)
    health = (await gateway.call("GET", "/v1/providers"))[1]["providers"]
    assert next(one["paused_for"] for one in health if one["account"] == "acme") > 1000


async def test_refused_credential_pauses_the_account_and_loses_nothing(
    stand: Any, attempts: Any
) -> None:
    stand.acme.knobs.error_rate, stand.acme.knobs.error = 1.0, Fate.CREDENTIAL
    gateway = await stand.start()

    ids = [await gateway.send(to=TO, content=TEXT, chain=SMS) for _ in range(3)]
    seen = [await gateway.until(id, "delivered") for id in ids]

    assert attempts(seen[-1])[-1] == "accepted/backup"
    assert stand.backup.log.taken == 3


async def test_provider_that_hangs_holds_up_nobody_else(
    stand: Any, eventually: Any, attempts: Any
) -> None:
    stand.beacon.knobs.hang = True
    gateway = await stand.start({"providers": {"beacon": {"concurrency": 2}}})
    push = {"push": [{"app": "ios", "token": "one"}]}
    held = [await gateway.send(to=push, content=TEXT) for _ in range(5)]
    await eventually(lambda: stand.beacon.log.total == 2)

    seen = await gateway.until(await gateway.send(to=TO, content=TEXT, chain=SMS), "delivered")

    assert attempts(seen) == ["accepted/acme"]
    assert stand.beacon.log.total == 2
    stand.beacon.knobs.hang = False
    for id in held:
        await gateway.until(id, "delivered")
    assert max(stand.beacon.log.copies().values()) == 1


async def test_mail_relay_that_drops_idle_connections_gets_every_message_once(
    stand: Any, attempts: Any
) -> None:
    gateway = await stand.start({"providers": {"relay": {"concurrency": 2}}})
    first = await gateway.send(to={"email": "li@example.com"}, content=TEXT)
    await gateway.until(first, "sent")
    stand.relay.knobs.refuse = True
    stand.relay.knobs.refuse = False
    await stand.relay.ready()

    ids = [await gateway.send(to={"email": f"n{at}@example.com"}, content=TEXT) for at in range(5)]
    seen = [await gateway.until(id, "sent") for id in ids]

    assert {attempts(one)[-1] for one in seen} == {"accepted/relay"}
    assert set(stand.relay.log.copies().values()) == {1}
    assert stand.relay.log.taken == 6
