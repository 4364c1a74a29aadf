"""Mail by a relay: what comes back later is posted to the gateway as it is."""

from typing import Any

from gateway.sandbox.knobs import Knobs
from gateway.sandbox.smtp import SmtpSimulator

TEXT = {"text": "Your order is on its way", "subject": "Your order"}
SECRET = "shared with the mail system"


def knobs(stand: Any) -> Knobs:
    return Knobs(receipt_url=f"http://127.0.0.1:{stand.port}/v1/receipts/relay")


async def start(stand: Any, relay: SmtpSimulator, **options: Any) -> Any:
    """A gateway that sends mail by this relay only."""
    account = {
        "kind": "smtp",
        "host": "127.0.0.1",
        "port": relay.port,
        "security": "none",
        "from": "Shop <no-reply@shop.example.com>",
        "receipt_secret": SECRET,
        **options,
    }
    return await stand.start(
        {
            "lanes": {"email": {"channel": "email", "providers": ["relay"]}},
            "providers": {"relay": account},
        }
    )


async def test_bounce_fails_the_message_and_bans_its_address(stand: Any) -> None:
    relay = await stand.enter(SmtpSimulator(knobs=knobs(stand), receipt_secret=SECRET))
    gateway = await start(stand, relay, bounce="bounces+{reference}@shop.example.com")

    bounced = await gateway.send(to={"email": "gone@example.com"}, content=TEXT)
    filtered = await gateway.send(to={"email": "filtered@example.com"}, content=TEXT)
    await gateway.until(bounced, "failed")
    await gateway.until(filtered, "failed")
    again = await gateway.send(to={"email": "gone@example.com"}, content=TEXT)
    other = await gateway.send(to={"email": "filtered@example.com"}, content=TEXT)

    await gateway.until(again, "suppressed")
    await gateway.until(other, "failed")
    assert relay.reporter.counts["4xx"] == 0


async def test_delivery_is_told_where_it_was_asked_for(stand: Any) -> None:
    relay = await stand.enter(SmtpSimulator(knobs=knobs(stand), receipt_secret=SECRET))
    gateway = await start(stand, relay, dsn=True, dsn_success=True)

    id = await gateway.send(to={"email": "li@example.com"}, content=TEXT)

    await gateway.until(id, "delivered")


async def test_mails_without_the_secret_are_not_believed(stand: Any, eventually: Any) -> None:
    relay = await stand.enter(SmtpSimulator(knobs=knobs(stand), receipt_secret="guessed"))
    gateway = await start(stand, relay, dsn=True)

    id = await gateway.send(to={"email": "gone@example.com"}, content=TEXT)
    await gateway.until(id, "sent")
    await eventually(lambda: relay.reporter.counts["4xx"] >= 1)

    assert (await gateway.read(id))["state"] == "sent"
