"""The example file: it loads, and every key works as its comment says."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway import settings
from gateway.model.errors import SettingsError
from gateway.model.message import OnUnknown, Priority
from gateway.model.state import State
from gateway.model.submission import Scope
from gateway.model.wire import Channel


def no_faults(account: str, kind: str, options: Mapping[str, Any]) -> Sequence[str]:
    return ()


@pytest.fixture
def loaded(example: Path, environ: dict[str, str]) -> settings.Settings:
    return settings.load(example, environ, no_faults)


def test_store_and_api(loaded: settings.Settings) -> None:
    assert loaded.store.url == "sqlite:///var/lib/gateway/gateway.db"
    assert loaded.store.retention == 180 * 86400
    assert loaded.api.listen == ("127.0.0.1", 8080)
    assert loaded.api.internal == ("127.0.0.1", 9090)
    assert loaded.api.max_body == 4 * 1024 * 1024
    assert loaded.webhooks.allow_private == (ip_network("10.20.0.0/16"),)


def test_tenant(loaded: settings.Settings) -> None:
    billing = loaded.tenants["billing"]

    assert [key.get_secret_value() for key in billing.keys] == ["value-of-billing_api_key"]
    assert billing.scopes == {Scope.SEND, Scope.READ}
    assert (billing.rate, billing.weight) == (500, 1)
    assert billing.webhook is not None
    assert billing.webhook.url == "https://billing.example.com/hooks/messages"
    assert billing.webhook.secret.get_secret_value().startswith("whsec_")


def test_categories(loaded: settings.Settings) -> None:
    otp, service, marketing = (loaded.categories[name] for name in ("otp", "service", "marketing"))

    assert (otp.priority, otp.expires_in, otp.on_unknown) == (
        Priority.CRITICAL,
        300,
        OnUnknown.RESEND,
    )
    assert [step.channel for step in otp.chain] == [Channel.SMS, Channel.EMAIL]
    assert service.chain[0] == settings.StepSettings(
        channel=Channel.PUSH, until=State.DELIVERED, within=30
    )
    assert (service.expires_in, service.consent) == (86400, False)
    assert (marketing.on_unknown, marketing.consent, marketing.unsubscribe) == (
        OnUnknown.STOP,
        True,
        True,
    )


def test_lanes(loaded: settings.Settings) -> None:
    assert list(loaded.lanes) == ["sms.cn", "sms.world", "push", "email.marketing", "email"]
    assert loaded.lanes["sms.cn"].match.phone_prefix == ("+86",)
    assert loaded.lanes["email.marketing"].match.category == ("marketing",)
    assert loaded.lanes["sms.world"].providers == ("twilio", "acme")
    assert {lane.spill_after for lane in loaded.lanes.values()} == {0.25}


def test_provider_account(loaded: settings.Settings) -> None:
    twilio = loaded.providers["twilio"]

    assert (twilio.kind, twilio.base_url) == ("twilio", "https://api.twilio.com")
    assert (twilio.rate, twilio.burst, twilio.rate_unit) == (100, 20, settings.RateUnit.PART)
    assert twilio.reserve == {Priority.CRITICAL: 0.2}
    assert (twilio.concurrency, twilio.daily_quota, twilio.daily_zone) == (64, 200000, "UTC")
    assert (twilio.timeout, twilio.cost) == (10, 0.0079)
    assert twilio.options == {
        "account_sid": "value-of-twilio_sid",
        "auth_token": "value-of-twilio_token",
        "from": "+15005550006",
        "base_url": "https://api.twilio.com",
    }


def test_keys_that_only_the_kind_knows_are_its_options(loaded: settings.Settings) -> None:
    acme, relay = loaded.providers["acme"].options, loaded.providers["relay"].options

    assert acme["headers"] == {"Authorization": "Bearer value-of-acme_token"}
    assert acme["body"]["ref"] == "{{ message_id }}"
    assert acme["receipt"]["map"] == {"DELIVRD": "delivered", "UNDELIV": "failed"}
    assert relay["messages_per_connection"] == 100
    assert loaded.providers["fcm"].options == {
        "service_account": '{"private_key": "value-of-fcm-key"}'
    }


def test_template(loaded: settings.Settings) -> None:
    template = loaded.templates["login-code"]

    assert template.category == "otp"
    assert set(template.channels) == {Channel.SMS, Channel.PUSH, Channel.EMAIL}
    assert set(template.providers) == {"aliyun", "tencent", "wechat"}
    assert template.providers["aliyun"]["params"] == ["code"]


def test_the_only_advice_is_about_what_the_example_leaves_out(
    loaded: settings.Settings,
) -> None:
    assert settings.warnings(loaded) == (
        "templates.login-code.wechat: no provider account is of this kind",
        "categories.marketing.unsubscribe: email gets no link, as api.public_url is not https",
    )


def test_no_secret_shows_in_the_settings(
    loaded: settings.Settings, environ: dict[str, str]
) -> None:
    shown = repr(loaded) + str(loaded) + repr(loaded.providers["twilio"])

    assert not [value for value in environ.values() if value in shown]
    assert "value-of-fcm-key" not in shown


def test_each_secret_that_is_absent_is_named_with_its_line(example: Path) -> None:
    text = example.read_text(encoding="utf-8").splitlines()
    (example.parent / "fcm.json").unlink()

    with pytest.raises(SettingsError) as refusal:
        settings.load(example, {}, no_faults)

    expected = [
        (number, line.partition("${")[2].partition("}")[0])
        for number, line in enumerate(text, 1)
        if "${" in line and not line.startswith("#")
    ]
    missing = [fault for fault in refusal.value.faults if "environment" in fault]
    assert len(refusal.value.faults) == len(expected) + 1 + sum(
        line.count("${") - 1 for line in text if line.startswith("webhook")
    )
    for number, name in expected:
        assert [fault for fault in missing if f":{number} " in fault], name
    assert any("providers.fcm.service_account: cannot read" in f for f in refusal.value.faults)
