"""What stands around an SMS: previewed, counted and sent it is the same text."""

from typing import Any

import pytest

from gateway.content import sms
from gateway.model.submission import Submission, To

LONG = "Your parcel is on its way and will be with you soon. " * 3

CHINA, UK = "+8613800138000", "+447700900123"


async def seen(world: Any, phone: str, text: str, category: str = "service") -> dict[str, Any]:
    """One text: as previewed, as counted at accept, as it reached its provider."""
    one = Submission(to=To(phone=phone), category=category, content={"text": text})
    preview = await world.intake.preview(world.caller(), one)
    (ticket,) = await world.intake.accept(world.caller(), [one])
    (units,) = await world.sql("SELECT units FROM queue")
    world.start("a", "b")
    await world.settle()
    sent = [call.message.content.text for name in "ab" for call in world.senders[name].calls]
    view = await world.desk.read(world.caller(), ticket.id)
    (told,) = [entry.segments for entry in view.timeline if entry.event == "attempt.accepted"]
    first = preview.chain[0]
    return {"preview": first, "units": units[0], "sent": sent, "timeline": told}


@pytest.mark.parametrize("phone", [CHINA, UK])
@pytest.mark.parametrize("category", ["service", "marketing"])
@pytest.mark.parametrize("rewrite", ["never", "punctuation", "accents"])
@pytest.mark.parametrize(
    "text", ["Hello", LONG, "“Zażółć” \u2013 gęślą jaźń " * 4, "您的包裹 " * 15]
)
async def test_preview_count_and_sending_agree(
    make_world: Any, phone: str, category: str, rewrite: str, text: str
) -> None:
    world = await make_world(lanes={"sms": {"sms": {"sign": "Acme", "rewrite": rewrite}}})

    one = await seen(world, phone, text, category)

    (sent,) = one["sent"]
    counted = sms.measure(sent, china=phone == CHINA)
    shown = one["preview"]
    assert shown.content["text"] == sent
    assert shown.sms == {
        "alphabet": counted.alphabet,
        "characters": len(sent),
        "length": counted.units,
        "segments": len(counted.parts),
    }
    assert one["units"] == one["timeline"] == len(counted.parts)


async def test_signature_can_cost_a_segment(make_world: Any) -> None:
    world = await make_world(lanes={"sms": {"sms": {"sign": "Acme"}}})

    one = await seen(world, UK, "x" * 160)

    assert one["sent"] == ["[Acme] " + "x" * 160]
    assert (one["units"], one["timeline"]) == (2, 2)


async def test_texts_go_out_as_they_are_without_settings(make_world: Any) -> None:
    world = await make_world()

    one = await seen(world, UK, "“Quoted”")

    assert one["sent"] == ["“Quoted”"]


async def test_marketing_ends_with_how_to_refuse(make_world: Any) -> None:
    world = await make_world()

    assert (await seen(world, UK, "Sale!", "marketing"))["sent"] == [
        "Sale! Reply STOP to opt out",
    ]


async def test_marketing_in_china_is_signed_around_how_to_refuse(make_world: Any) -> None:
    world = await make_world(lanes={"sms": {"sms": {"sign": "华为云"}}})

    one = await seen(world, CHINA, "今日特价", "marketing")

    assert one["sent"] == ["【华为云】今日特价 拒收请回复R"]


@pytest.mark.parametrize(
    ("words", "sent"), [("STOP=out", "Sale! STOP=out"), ("", "Sale!")], ids=["own", "none"]
)
async def test_lane_may_word_the_refusal_or_leave_it_out(
    make_world: Any, words: str, sent: str
) -> None:
    world = await make_world(lanes={"sms": {"sms": {"opt_out": words}}})

    assert (await seen(world, UK, "Sale!", "marketing"))["sent"] == [sent]


async def test_mail_is_not_worded(make_world: Any) -> None:
    world = await make_world(lanes={"sms": {"sms": {"sign": "Acme"}}})
    one = Submission(
        to=To(email="li@example.com"), category="service", content={"subject": "x", "text": "Hi"}
    )

    preview = await world.intake.preview(world.caller(), one)

    texts = [step.content["text"] for step in preview.chain if step.content]
    assert texts == ["Hi"]


async def test_what_is_only_a_providers_template_stays_empty(make_world: Any) -> None:
    world = await make_world(lanes={"sms": {"sms": {"sign": "Acme"}}})
    one = Submission(
        to=To(phone=CHINA), category="marketing", content={"http": {"template": "T_1"}}
    )

    preview = await world.intake.preview(world.caller(), one)

    assert preview.chain[0].content == {}
