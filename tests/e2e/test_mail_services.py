"""Mail by services with an HTTP API: taken, reported on, and each report proved in its own way."""

from typing import Any

from gateway.sandbox.knobs import Knobs
from gateway.sandbox.postmark import SERVER_TOKEN, PostmarkSimulator
from gateway.sandbox.ses import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, TOPIC_ARN, SesSimulator

TEXT = {"text": "Your order is on its way", "subject": "Your order"}
SENDER = "Shop <no-reply@shop.example.com>"


def knobs(stand: Any, account: str) -> Knobs:
    return Knobs(receipt_url=f"http://127.0.0.1:{stand.port}/v1/receipts/{account}")


async def start(stand: Any, account: str, options: dict[str, Any]) -> Any:
    """A gateway that sends mail by this account only."""
    return await stand.start(
        {
            "lanes": {"email": {"channel": "email", "providers": [account]}},
            "providers": {account: {"kind": account, "from": SENDER, **options}},
        }
    )


def ses_options(simulator: SesSimulator, **changes: Any) -> dict[str, Any]:
    options = {
        "region": REGION,
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET_ACCESS_KEY,
        "configuration_set": "events",
        "topic_arns": [TOPIC_ARN],
        "sns_origin": simulator.url,
        "base_url": simulator.url,
    }
    return {**options, **changes}


async def test_ses_subscription_is_confirmed_and_its_events_are_believed(
    stand: Any, attempts: Any
) -> None:
    simulator = await stand.enter(SesSimulator(knobs=knobs(stand, "ses"), signature_version="2"))
    gateway = await start(stand, "ses", ses_options(simulator))

    id = await gateway.send(to={"email": "li@example.com"}, content=TEXT)
    seen = await gateway.until(id, "delivered")
    await simulator.reporter.join()

    assert attempts(seen) == ["accepted/ses"]
    # the confirmation, the greeting, and two events
    assert simulator.reporter.counts == {"2xx": 4}


async def test_events_of_a_topic_that_is_not_allowed_are_refused(
    stand: Any, eventually: Any
) -> None:
    simulator = await stand.enter(SesSimulator(knobs=knobs(stand, "ses")))
    other = TOPIC_ARN.replace("ses-events", "other")
    gateway = await start(stand, "ses", ses_options(simulator, topic_arns=[other]))

    id = await gateway.send(to={"email": "li@example.com"}, content=TEXT)
    await gateway.until(id, "sent")
    await eventually(lambda: simulator.reporter.counts["4xx"] == 1)

    # it was not confirmed, so that nothing else comes
    assert (await gateway.read(id))["state"] == "sent"
    assert simulator.reporter.pending == 0


async def test_postmark_takes_mails_and_its_webhooks_are_believed(
    stand: Any, attempts: Any
) -> None:
    secret = {"X-Secret": "battery staple"}
    simulator = await stand.enter(
        PostmarkSimulator(knobs=knobs(stand, "postmark"), webhook_headers=secret)
    )
    options = {
        "server_token": SERVER_TOKEN,
        "webhook_headers": secret,
        "base_url": simulator.url,
    }
    gateway = await start(stand, "postmark", options)

    good = await gateway.send(to={"email": "li@example.com"}, content=TEXT)
    bad = await gateway.send(to={"email": "unknown@example.com"}, content=TEXT)
    seen = await gateway.until(good, "delivered")
    await gateway.until(bad, "failed")

    assert attempts(seen) == ["accepted/postmark"]
    assert simulator.log.arrivals[0].reference.startswith(good)
