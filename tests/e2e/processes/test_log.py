"""What a gateway writes to standard error, at its most talkative."""

from typing import Any

TO = {"phone": "+14155557361", "email": "planted.person@example.com"}
PLANTED = ("4155557361", "planted", "gw_e2e_key_of_shop", "whsec_")


async def test_debug_log_has_no_recipient_text_or_key(served: Any, eventually: Any) -> None:
    served.stand.acme.knobs.error_rate = 1.0
    served.configure()
    child = await served.start("--log-level", "debug")
    body = {"to": TO, "content": {"text": "planted", "subject": "planted"}}
    ids = [await served.api.send(**body) for _ in range(3)]
    ids.append(await served.api.send(**{**body, "to": {"email": "bounce@example.com"}}))
    for id in ids:
        await served.api.until(id, "sent", "delivered", "failed")
    await served.api.call("POST", "/v1/messages", {"to": {"phone": "planted"}})
    child.terminate()

    code = await child.ended()

    assert code == 0
    assert [one for one in PLANTED if one in child.stderr] == []
    lines = [one for one in child.stderr.splitlines() if not one.startswith("gateway: warning: ")]
    assert all(" DEBUG " in line or " INFO " in line or " WARNING " in line for line in lines)
