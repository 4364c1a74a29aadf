"""Content rules over HTTP, from the settings to the answer and the metrics."""

from typing import Any

BODY = {
    "to": {"phone": "+14155550123"},
    "chain": [{"channel": "sms"}],
    "content": {"text": "Your order is due at http://example.com/a"},
}


async def test_category_warns_and_another_refuses(stand: Any) -> None:
    gateway = await stand.start(
        {
            "categories": {
                "service": {"lint": "warn"},
                "otp": {"lint": "refuse", "lint_rules": {"link.http": "error"}},
            }
        }
    )

    taken, warned = await gateway.call("POST", "/v1/messages", BODY)
    refused, problem = await gateway.call("POST", "/v1/messages", {**BODY, "category": "otp"})
    _, shown = await gateway.call("POST", "/v1/preview", {**BODY, "category": "otp"})
    await gateway.until(warned["id"], "delivered")

    said = "link 1 is http, which browsers warn of"
    assert (taken, warned["warnings"]) == (
        202,
        [{"rule": "link.http", "channel": "sms", "message": said}],
    )
    assert (refused, problem["faults"]) == (
        422,
        [{"field": "content.text", "detail": f"link.http: sms.text {said}"}],
    )
    assert (shown["decision"], shown["reasons"]) == ("refuse", [f"link.http: {said}"])
    assert [(one["rule"], one["severity"]) for one in shown["findings"]] == [("link.http", "error")]
    assert stand.acme.log.total == 1
    metrics = await gateway.metrics()
    assert 'gateway_lint_findings_total{rule="link.http",severity="error"} 1.0' in metrics
    assert 'gateway_lint_findings_total{rule="sms.parts",severity="hint"} 0.0' in metrics
