"""What providers are certain that they can never carry, before anything is sent."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import registry

Make = Callable[..., Any]
CHINA, UK = wire.Address(phone="+8613800138000"), wire.Address(phone="+447700900123")
TEXT = wire.Content(text="hello")


def own(kind: str, **table: Any) -> wire.Content:
    return wire.Content(provider_templates={kind: table})


@pytest.mark.parametrize("kind", ["aliyun", "tencent"])
def test_mainland_services_send_nothing_but_templates(make: Make, kind: str) -> None:
    provider = make(kind)

    assert provider.objection(TEXT, CHINA) == f"the content has no template of {kind}"
    assert "template" in provider.objection(own(kind, sign="Acme"), CHINA)
    assert provider.objection(own(kind, template="T_1", sign="Acme"), CHINA) == ""


@pytest.mark.parametrize("kind", ["aliyun", "tencent"])
def test_mainland_numbers_need_a_signature(make: Make, kind: str) -> None:
    bare, signed = make(kind, sign=""), make(kind, sign="Acme")
    content = own(kind, template="T_1")

    assert "sign" in bare.objection(content, CHINA)
    assert bare.objection(content, UK) == signed.objection(content, CHINA) == ""


@pytest.mark.parametrize("kind", ["twilio", "vonage", "vonage_sms", "smpp"])
def test_an_sms_has_a_text_of_at_most_255_segments(make: Make, kind: str) -> None:
    provider = make(kind)

    assert provider.objection(TEXT, UK) == ""
    assert provider.objection(wire.Content(subject="x"), UK) == "there is no text"
    assert provider.objection(wire.Content(text="x" * (255 * 153 + 1)), UK)
    assert provider.objection(wire.Content(text="字" * (255 * 67 + 1)), UK)


@pytest.mark.parametrize("kind", ["vonage_sms", "smpp"])
@pytest.mark.parametrize("text", ["x" * (255 * 153), "字" * (255 * 67)])
def test_255_segments_are_not_too_many(make: Make, kind: str, text: str) -> None:
    assert make(kind).objection(wire.Content(text=text), UK) == ""


@pytest.mark.parametrize(
    ("sender", "phone", "is_refused"),
    [
        ("Acme", "+14155550123", True),
        ("24 Acme", "+15145550123", True),
        ("Acme", "+447700900123", False),
        ("Acme", "+18765550123", False),
        ("+15005550006", "+14155550123", False),
        ("60606", "+14155550123", False),
        ("rcs:acme_agent", "+14155550123", False),
        ("", "+14155550123", False),
    ],
)
def test_twilio_sends_under_no_name_where_phones_take_none(
    make: Make, sender: str, phone: str, is_refused: bool
) -> None:
    changes = {"from": sender, "messaging_service_sid": "MG00000000000000000000000000000001"}

    found = make("twilio", changes).objection(TEXT, wire.Address(phone=phone))

    assert ("must be a number" in found) is is_refused


def test_ses_takes_no_address_beyond_ascii(make: Make) -> None:
    provider = make("ses")

    assert "ASCII" in provider.objection(TEXT, wire.Address(email="李@example.com"))
    assert provider.objection(TEXT, wire.Address(email="li@example.com")) == ""


def test_twilio_takes_1600_characters_or_a_template_of_its_own(make: Make) -> None:
    provider = make("twilio")

    assert provider.objection(wire.Content(text="x" * 1600), UK) == ""
    assert "1600" in provider.objection(wire.Content(text="x" * 1601), UK)
    assert provider.objection(own("twilio", template="HX0"), UK) == ""


@pytest.mark.parametrize(("channel", "most"), [("sms", 1000), ("rcs", 3072)])
def test_vonage_takes_so_many_characters(make: Make, channel: str, most: int) -> None:
    provider = make("vonage", channel=channel)

    assert provider.objection(wire.Content(text="字" * most), UK) == ""
    assert str(most) in provider.objection(wire.Content(text="字" * (most + 1)), UK)


DEVICE = wire.Address(app="shop", token="t" * 64)


def device(kind: str) -> wire.Address:
    """Apple's tokens are hexadecimal, and no others are."""
    return replace(DEVICE, token="a1" * 32) if kind == "apns" else DEVICE


#: Kinds of push, with the longest text that surely goes and one that surely does not.
PUSHES = [("fcm", 4000, 4097), ("apns", 3900, 4097), ("huawei", 1700, 4097)]


@pytest.mark.parametrize(("kind", "fits", "is_too_long"), PUSHES)
def test_a_push_is_no_longer_than_its_service_takes(
    make: Make, kind: str, fits: int, is_too_long: int
) -> None:
    provider = make(kind)

    assert provider.objection(TEXT, device(kind)) == ""
    assert provider.objection(wire.Content(text="x" * fits), device(kind)) == ""
    assert "more than" in provider.objection(wire.Content(text="x" * is_too_long), device(kind))
    assert provider.objection(wire.Content(text="字" * (is_too_long // 3 + 1)), device(kind))


@pytest.mark.parametrize("kind", [kind for kind, *_ in PUSHES])
def test_data_counts_in_a_push(make: Make, kind: str) -> None:
    content = wire.Content(text="t", extra={"data": {"key": "v" * 4097}})

    assert "more than" in make(kind).objection(content, device(kind))


BROWSER = wire.Address(
    app="shop",
    token=orjson.dumps(
        {
            "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/x",
            # of RFC 8291 §5
            "keys": {
                "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx"
                "aOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                "auth": "BTBZMqHH6r4Tts7J_aSIgg",
            },
        }
    ).decode(),
)


def test_a_web_push_needs_a_subscription_and_fits_into_one_record(make: Make) -> None:
    provider = make("webpush")

    assert provider.objection(TEXT, BROWSER) == ""
    assert "subscription" in provider.objection(TEXT, DEVICE)
    assert "more than" in provider.objection(wire.Content(text="x" * 4097), BROWSER)


@pytest.mark.parametrize(
    ("kind", "most"),
    [("dingtalk", 20_000), ("feishu", 20_000), ("telegram", 4096), ("wecom_robot", 2048)],
)
def test_a_chat_takes_so_much(make: Make, kind: str, most: int) -> None:
    provider, group = make(kind), wire.Address(chat="ops")

    assert provider.objection(TEXT, group) == ""
    assert "longer" in provider.objection(wire.Content(text="x" * (2 * most)), group)


@pytest.mark.parametrize("kind", ["dingtalk", "feishu", "wecom_robot"])
def test_a_robot_knows_one_group(make: Make, kind: str) -> None:
    provider = make(kind, chat="ops")

    assert provider.objection(TEXT, wire.Address(chat="ops")) == ""
    assert "to.chat" in provider.objection(TEXT, wire.Address(chat="sales"))


def test_wechat_sends_nothing_but_templates(make: Make) -> None:
    provider, person = make("wechat"), wire.Address(wechat="openid")

    assert "no template" in provider.objection(TEXT, person)
    assert "template" in provider.objection(own("wechat", data={}), person)
    assert provider.objection(own("wechat", template="T_1"), person) == ""


def test_wecom_wants_a_type_with_its_table(make: Make) -> None:
    provider, member = make("wecom"), wire.Address(wecom="LiLei")

    assert provider.objection(TEXT, member) == ""
    assert "wecom.template" in provider.objection(own("wecom", template="news"), member)
    assert provider.objection(wire.Content(text="字" * 700), member)


def test_a_5g_message_has_at_most_eleven_suggestions(make: Make) -> None:
    provider = make("rcs_5g")

    def offering(count: int) -> wire.Content:
        return wire.Content(text="t", extra={"suggestions": [{"text": "yes"}] * count})

    assert provider.objection(offering(11), CHINA) == ""
    assert "suggestions" in provider.objection(offering(12), CHINA)


def with_file(size: int) -> wire.Content:
    """A mail with a file of so many characters of base64."""
    file = {"name": "a.dat", "type": "application/octet-stream", "data": "A" * size}
    return wire.Content(text="t", subject="s", extra={"attachments": [file]})


def test_attachments_are_no_larger_than_postmark_takes(make: Make) -> None:
    provider, to = make("postmark"), wire.Address(email="li@example.com")

    assert provider.objection(with_file(9_999_000), to) == ""
    assert "larger" in provider.objection(with_file(10_000_000), to)


def test_a_body_without_a_place_for_files_carries_none(make: Make) -> None:
    plain = make("http", channel="email", body={"to": "{{ to.email }}"})
    able = make("http", channel="email", body={"files": "{{ attachments }}"})
    to = wire.Address(email="li@example.com")

    assert "attachments" in plain.objection(with_file(4), to)
    assert plain.objection(TEXT, to) == able.objection(with_file(4), to) == ""


@pytest.mark.parametrize("kind", registry.kinds())
def test_what_every_channel_can_carry_is_objected_to_by_nobody(
    make: Make, message: Callable[..., wire.Message], kind: str
) -> None:
    one = message()
    tokens = {"webpush": BROWSER.token, "apns": device("apns").token}
    to = replace(one.to, token=tokens.get(kind, one.to.token))

    assert make(kind).objection(one.content, to) == ""


def test_objections_repeat_nothing_of_a_message(make: Make) -> None:
    content = own("aliyun", template="T_1", params={"code": ["4711"]})

    objection = make("aliyun").objection(content, CHINA)

    assert "code" in objection
    assert "4711" not in objection
