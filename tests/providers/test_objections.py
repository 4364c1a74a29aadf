"""What providers are certain that they can never carry, before anything is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.model import wire

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


@pytest.mark.parametrize("kind", ["vonage", "vonage_sms", "smpp"])
@pytest.mark.parametrize("text", ["x" * (255 * 153), "字" * (255 * 67)])
def test_255_segments_are_not_too_many(make: Make, kind: str, text: str) -> None:
    assert make(kind).objection(wire.Content(text=text), UK) == ""


def test_twilio_takes_1600_characters_or_a_template_of_its_own(make: Make) -> None:
    provider = make("twilio")

    assert provider.objection(wire.Content(text="x" * 1600), UK) == ""
    assert "1600" in provider.objection(wire.Content(text="x" * 1601), UK)
    assert provider.objection(own("twilio", template="HX0"), UK) == ""


def test_objections_repeat_nothing_of_a_message(make: Make) -> None:
    content = own("aliyun", template="T_1", params={"code": ["4711"]})

    objection = make("aliyun").objection(content, CHINA)

    assert "code" in objection
    assert "4711" not in objection
