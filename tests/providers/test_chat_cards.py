"""Cards of chat services, and texts that are cut to fit."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.model import wire
from gateway.model.values import replace

Make = Callable[..., Any]
Message = Callable[..., wire.Message]

LINK, IMAGE = "https://example.com/a?b=1&c=2", "https://example.com/a.png"
CARD = wire.Content(
    title="Server down", text="db1 <@all> is down", extra={"card": True, "link": LINK}
)
PICTURED = replace(CARD, extra={**CARD.extra, "image": IMAGE})
CHATS = ("dingtalk", "feishu", "slack", "telegram", "wecom_robot")
GROUP, MEMBER = wire.Address(chat="ops"), wire.Address(wecom="LiLei")


def to_of(kind: str) -> wire.Address:
    return MEMBER if kind == "wecom" else GROUP


def sent(make: Make, message: Message, kind: str, content: wire.Content) -> dict[str, Any]:
    [(_, request)] = make(kind).build_requests([message(content=content, to=to_of(kind))])
    body: dict[str, Any] = json.loads(request.body)
    return body


NEWS = {"title": "Server down", "description": "db1 <@all> is down", "url": LINK, "picurl": IMAGE}


@pytest.mark.parametrize(
    ("kind", "content", "body"),
    [
        (
            "dingtalk",
            CARD,
            {
                "msgtype": "link",
                "link": {"title": CARD.title, "text": CARD.text, "messageUrl": LINK},
            },
        ),
        (
            "dingtalk",
            PICTURED,
            {
                "msgtype": "link",
                "link": {
                    "title": CARD.title,
                    "text": CARD.text,
                    "messageUrl": LINK,
                    "picUrl": IMAGE,
                },
            },
        ),
        (
            "feishu",
            PICTURED,
            {
                "msg_type": "interactive",
                "card": {
                    "header": {"title": {"tag": "plain_text", "content": CARD.title}},
                    "elements": [
                        {"tag": "div", "text": {"tag": "plain_text", "content": CARD.text}}
                    ],
                    "card_link": {"url": LINK},
                },
            },
        ),
        (
            "slack",
            PICTURED,
            {
                "text": f"Server down\ndb1 &lt;@all&gt; is down\n{LINK.replace('&', '&amp;')}",
                "blocks": [
                    {"type": "header", "text": {"type": "plain_text", "text": CARD.title}},
                    {"type": "section", "text": {"type": "plain_text", "text": CARD.text}},
                    {"type": "image", "image_url": IMAGE, "alt_text": CARD.title},
                    {
                        "type": "section",
                        "text": {"type": "mrkdwn", "text": f"<{LINK.replace('&', '&amp;')}>"},
                    },
                ],
            },
        ),
        (
            "wecom_robot",
            CARD,
            {
                "msgtype": "template_card",
                "template_card": {
                    "card_type": "text_notice",
                    "main_title": {"title": CARD.title, "desc": CARD.text},
                    "card_action": {"type": 1, "url": LINK},
                },
            },
        ),
        ("wecom_robot", PICTURED, {"msgtype": "news", "news": {"articles": [NEWS]}}),
        (
            "wecom",
            CARD,
            {
                "msgtype": "textcard",
                "textcard": {"title": CARD.title, "description": CARD.text, "url": LINK},
            },
        ),
        ("wecom", PICTURED, {"msgtype": "news", "news": {"articles": [NEWS]}}),
    ],
)
def test_card_is_that_of_the_service(
    make: Make, message: Message, kind: str, content: wire.Content, body: dict[str, Any]
) -> None:
    found = sent(make, message, kind, content)

    assert {name: found[name] for name in body} == body
    assert not {"text", "content"} & (found.keys() - body.keys())


def test_members_get_the_cards_of_groups(make: Make, message: Message) -> None:
    of_dingtalk = sent(make, message, "dingtalk", CARD)
    of_feishu = sent(make, message, "feishu", CARD)

    to_member = sent(make, message, "dingtalk_app", CARD)["msg"]
    to_user = sent(make, message, "feishu_app", CARD)

    assert to_member == {name: of_dingtalk[name] for name in to_member}
    assert to_user["msg_type"] == "interactive"
    assert json.loads(to_user["content"]) == of_feishu["card"]


@pytest.mark.parametrize("kind", ["dingtalk", "dingtalk_app", "wecom", "wecom_robot"])
def test_card_without_what_its_service_wants_is_objected_to(make: Make, kind: str) -> None:
    bare = wire.Content(text="x", extra={"card": True})

    assert "card: has no title and no link" in make(kind).objection(bare, to_of(kind))


@pytest.mark.parametrize("kind", [*CHATS, "wecom"])
def test_service_own_table_goes_before_the_card(make: Make, message: Message, kind: str) -> None:
    table = {"msgtype": "text", "text": {"content": "own"}, "template": "text"}
    content = replace(CARD, provider_templates={kind: table})

    found = sent(make, message, kind, content)

    assert found["text"] == {"content": "own"}


def test_telegram_has_no_cards(make: Make, message: Message) -> None:
    assert sent(make, message, "telegram", PICTURED)["text"].startswith("Server down\n")


@pytest.mark.parametrize("kind", [*CHATS, "wecom", "dingtalk_app", "feishu_app"])
@pytest.mark.parametrize("card", [False, True])
def test_text_is_cut_where_it_may_be(make: Make, message: Message, kind: str, card: bool) -> None:
    extra = {"card": card, "link": LINK}
    long = wire.Content(title="t", text="界&" * 60_000, extra=extra)
    may = replace(long, extra={**extra, "cut": ("text",)})
    provider = make(kind)

    [(_, request)] = provider.build_requests([message(content=may, to=to_of(kind))])

    assert "longer" in provider.objection(long, to_of(kind))
    assert provider.objection(may, to_of(kind)) == ""
    said = request.body.decode()
    assert "…" in said
    assert "界" in said
    assert len(said) < len(long.text)


@pytest.mark.parametrize("kind", [*CHATS, "wecom"])
def test_cut_text_is_as_long_as_may_be(make: Make, message: Message, kind: str) -> None:
    provider = make(kind)

    def fits(size: int) -> bool:
        return not provider.objection(wire.Content(text="x" * size), to_of(kind))

    most = max(size for size in (2**16, 2**15) if not fits(size))
    least = 0
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    may = wire.Content(text="x" * 60_000, extra={"cut": ("text",)})

    [(_, request)] = provider.build_requests([message(content=may, to=to_of(kind))])

    assert abs(request.body.count(b"x") - least) <= 64


def test_what_cutting_cannot_help_is_objected_to(make: Make) -> None:
    content = wire.Content(text="x", extra={"cut": ("text",), "link": "https://" + "x" * 5_000})

    assert "longer" in make("telegram").objection(content, GROUP)
