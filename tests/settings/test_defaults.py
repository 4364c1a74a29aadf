"""What the file need not say, and what deserves a warning."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway import settings
from gateway.model.errors import SettingsError
from gateway.model.message import OnUnknown, Priority
from gateway.settings.reference import ReferenceRow

LANES: Mapping[str, Any] = {
    channel: {"channel": channel, "providers": [f"p-{channel}"]}
    for channel in ("email", "sms", "push")
}
PROVIDERS: Mapping[str, Any] = {f"p-{channel}": {"kind": "x"} for channel in LANES}


def parse(**tables: Any) -> settings.Settings:
    return settings.parse({"lanes": LANES, "providers": PROVIDERS, **tables}, environ={})


def test_three_categories_are_built_in() -> None:
    loaded = parse()

    assert {
        name: (one.priority, one.expires_in, one.on_unknown, one.consent, one.unsubscribe)
        for name, one in loaded.categories.items()
    } == {
        "otp": (Priority.CRITICAL, 300, OnUnknown.RESEND, False, False),
        "service": (Priority.NORMAL, 86400, OnUnknown.RESEND, False, False),
        "marketing": (Priority.BULK, 86400, OnUnknown.STOP, True, True),
    }


def test_chains_default_to_the_channels_that_have_lanes() -> None:
    loaded = parse(categories={"alert": {"priority": "high"}})

    assert {name: [step.channel for step in c.chain] for name, c in loaded.categories.items()} == {
        "otp": ["sms", "push", "email"],
        "service": ["push", "sms", "email"],
        "marketing": ["push", "email", "sms"],
        "alert": ["push", "sms", "email"],
    }


def test_a_category_of_the_file_keeps_what_it_does_not_change() -> None:
    loaded = parse(categories={"marketing": {"consent": False}})

    marketing = loaded.categories["marketing"]
    assert (marketing.consent, marketing.unsubscribe, marketing.priority) == (
        False,
        True,
        Priority.BULK,
    )


def test_an_empty_file_is_legal_and_useless() -> None:
    loaded = settings.parse({})

    assert settings.warnings(loaded) == ("lanes: there are none, so no message can be sent",)


@pytest.mark.parametrize(
    ("rate", "burst"), [(None, None), (1, 1), (5, 1), (6, 1.2), (300, 60), (0.1, 1)]
)
def test_burst_is_a_fifth_of_a_second_and_at_least_one(
    rate: float | None, burst: float | None
) -> None:
    table = {"kind": "x"} | ({} if rate is None else {"rate": rate})

    loaded = parse(providers={**PROVIDERS, "p-sms": table})

    assert loaded.providers["p-sms"].burst == burst


def test_settings_cannot_be_changed() -> None:
    loaded = parse()

    with pytest.raises(ValidationError, match="frozen"):
        loaded.api.public_url = "https://other.example"


def test_receivers_in_allowed_networks_may_be_private_and_plain() -> None:
    secret = "whsec_" + "c" * 32
    hook = {"url": "http://10.1.2.3:8000/x", "secret": secret}

    loaded = parse(webhooks={"allow_private": ["10.0.0.0/8"]}, tenants={"a": {"webhook": hook}})

    assert loaded.tenants["a"].webhook is not None


@pytest.mark.parametrize("host", ["example.com", "10.1.2.3", "8.8.8.8"])
def test_receivers_elsewhere_are_faults_where_reports_stay_on_this_machine(host: str) -> None:
    hook = {"url": f"https://{host}/x", "secret": "whsec_" + "c" * 32}
    only = {"only_loopback": True, "allow_private": ["10.0.0.0/8"]}

    with pytest.raises(SettingsError, match=r"webhooks\.only_loopback"):
        parse(webhooks=only, tenants={"a": {"webhook": hook}})
    parse(webhooks=only, tenants={"a": {"webhook": {**hook, "url": "http://localhost:9000/x"}}})


def test_a_kind_named_like_its_channel_keeps_its_table_apart() -> None:
    wechat = {"template": "T", "data": {"a": {"value": "{{ a }}"}}, "text": "{{ a }}"}

    template = parse(templates={"t": {"wechat": wechat}}).templates["t"]

    assert template.channels == {"wechat": {"text": "{{ a }}"}}
    assert template.providers == {"wechat": {k: v for k, v in wechat.items() if k != "text"}}


def test_the_folder_of_templates_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text('content.folder = "texts"')

    loaded = settings.load(tmp_path / "gateway.toml", {})

    assert loaded.content.folder == str(tmp_path / "texts")


def test_doubtful_settings_are_warned_of() -> None:
    loaded = parse(
        providers={**PROVIDERS, "idle": {"kind": "y"}, "p-sms": {"kind": "x", "timeout": "5m"}},
        store={"retention": "30d"},
        templates={"t": {"aliyun": {"template": "T"}}},
    )

    assert sorted(line.partition(":")[0] for line in settings.warnings(loaded)) == [
        "categories.marketing.unsubscribe",
        "providers.idle",
        "providers.p-sms.timeout",
        "providers.p-sms.timeout",
        "store.retention",
        "templates.t.aliyun",
    ]


def rows() -> dict[str, ReferenceRow]:
    return {row.key: row for row in settings.reference()}


def test_the_reference_names_every_key_of_the_example() -> None:
    text = (Path(__file__).parent / "gateway.example.toml").read_text(encoding="utf-8")
    known = set(rows())

    for table in re.findall(r"^\[(\w+)[.\]]", text, re.MULTILINE):
        assert any(key.startswith(f"{table}.") for key in known)
    assert {
        "store.retention",
        "api.max_body",
        "tenants.<name>.webhook.secret",
        "webhooks.allow_private",
        "categories.<name>.chain[].within",
        "lanes.<name>.match.phone_prefix",
        "providers.<name>.reserve",
        "templates.<name>.<channel>",
    } <= known


@pytest.mark.parametrize(
    ("public_url", "count"),
    [("", 1), ("http://gw.example.com", 1), ("https://gw.example.com", 0)],
)
def test_email_that_cannot_be_left_is_warned_about(public_url: str, count: int) -> None:
    chain = [{"channel": "email"}]
    loaded = parse(
        api={"public_url": public_url},
        categories={"news": {"unsubscribe": True, "chain": chain}, "plain": {"chain": chain}},
    )

    found = [one for one in settings.warnings(loaded) if one.startswith("categories.")]

    assert len([one for one in found if one.startswith("categories.news.unsubscribe: ")]) == count
    assert not any("plain" in one for one in found)


@pytest.mark.parametrize(("length", "count"), [(15, 1), (16, 0)])
def test_api_keys_that_can_be_guessed_are_warned_about(length: int, count: int) -> None:
    loaded = parse(tenants={"a": {"keys": ["k" * length]}})

    found = [one for one in settings.warnings(loaded) if one.startswith("tenants.a.keys[0]: ")]

    assert len(found) == count
    assert not any("kkk" in one for one in found)


def test_every_reference_row_is_described() -> None:
    for row in settings.reference():
        assert row.type, row
        assert row.description, row


@pytest.mark.parametrize(
    ("key", "kind", "default"),
    [
        ("store.retention", "duration", "180d"),
        ("api.max_body", "size", "4MiB"),
        ("api.listen", "host:port", "127.0.0.1:8080"),
        ("lanes.<name>.providers", "list of text", "required"),
        ("lanes.<name>.spill_after", "duration", "250ms"),
        ("categories.<name>.priority", "critical, high, normal or bulk", "normal"),
        ("categories.<name>.chain[].until", "accepted, delivered or read", "accepted"),
        ("categories.<name>.consent", "true or false", "false"),
        ("tenants.<name>.keys", "list of secret", ""),
        ("tenants.<name>.weight", "number", "1"),
    ],
)
def test_reference_rows_say_type_and_default(key: str, kind: str, default: str) -> None:
    row = rows()[key]

    assert (row.type, row.default) == (kind, default)


def test_defaults_of_the_reference_are_read_back_as_the_same_settings() -> None:
    tables: dict[str, dict[str, object]] = {}
    for row in settings.reference():
        section, _, key = row.key.partition(".")
        if row.default and "." not in key:
            tables.setdefault(section, {})[key] = (
                row.default if row.type not in ("integer", "number") else float(row.default)
            )

    assert settings.parse(tables) == settings.parse({})
