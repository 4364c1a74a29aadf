"""Cards of chat services, of the vocabulary of `content.chats`: title, text, link and picture.

Each shows texts as they are: nothing in them is read as markup or calls anybody.
"""

from collections.abc import Mapping
from typing import Any

from gateway.model import wire
from gateway.model.values import Value
from gateway.providers import auth, chat

#: Characters of a header and of a section of Slack's blocks.
_SLACK_HEADER, _SLACK_SECTION = 150, 3000
#: Bytes of title, description and link of a card of WeCom's, and of one with a picture.
WECOM = (128, 512, 2048)


class Card(Value):
    """What a card shows; empty where there is nothing."""

    title: str
    text: str
    link: str
    image: str


def asked(content: wire.Content) -> Card | None:
    """The card that the content asks for; None when it does not."""
    return card_of(content) if content.extra.get("card") is True else None


def card_of(content: wire.Content) -> Card:
    return Card(
        title=chat.title_of(content),
        text=content.text,
        link=chat.link_of(content),
        image=chat.image_of(content),
    )


def dingtalk(card: Card) -> Mapping[str, Any]:
    """A `link`. Raises ValueError."""
    _need(card, "title", "text", "link")
    picture = {"picUrl": card.image} if card.image else {}
    link = {"title": card.title, "text": card.text, "messageUrl": card.link, **picture}
    return {"msgtype": "link", "link": link}


def feishu(card: Card) -> Mapping[str, Any]:
    """An `interactive` card; its pictures must have been uploaded before, so it has none. Raises
    ValueError."""
    _need(card, "text")
    made: dict[str, Any] = {"elements": [{"tag": "div", "text": _feishu_text(card.text)}]}
    if card.title:
        made["header"] = {"title": _feishu_text(card.title)}
    if card.link:
        made["card_link"] = {"url": card.link}
    return {"msg_type": "interactive", "card": made}


def _feishu_text(text: str) -> Mapping[str, str]:
    return {"tag": "plain_text", "content": text}


def slack(card: Card) -> Mapping[str, Any]:
    """Blocks, beside the text that notifications show. Raises ValueError."""
    _need(card, "text")
    _measure(len(card.title), "title", _SLACK_HEADER, "characters")
    _measure(len(card.text), "text", _SLACK_SECTION, "characters")
    blocks: list[Mapping[str, Any]] = []
    if card.title:
        blocks.append({"type": "header", "text": _slack_text(card.title)})
    blocks.append({"type": "section", "text": _slack_text(card.text)})
    if card.image:
        alt = card.title or card.text[:_SLACK_HEADER]
        blocks.append({"type": "image", "image_url": card.image, "alt_text": alt})
    if card.link:
        link = card.link.translate(_SLACK_LINK)
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": f"<{link}>"}})
    return {"blocks": blocks}


#: What would end a link, or begin its title.
_SLACK_LINK = str.maketrans({"&": "&amp;", "<": "%3C", ">": "%3E", "|": "%7C"})


def _slack_text(text: str) -> Mapping[str, str]:
    return {"type": "plain_text", "text": text}


def wecom(card: Card) -> Mapping[str, Any]:
    """A `textcard`, or with a picture an article of `news`. Raises ValueError."""
    _measure_wecom(card)
    if card.image:
        return _news(card)
    textcard = {"title": card.title, "description": card.text, "url": card.link}
    return {"msgtype": "textcard", "textcard": textcard}


def wecom_robot(card: Card) -> Mapping[str, Any]:
    """A `template_card` of text, or with a picture an article of `news`. Raises ValueError."""
    _measure_wecom(card)
    if card.image:
        return _news(card)
    made = {
        "card_type": "text_notice",
        "main_title": {"title": card.title, "desc": card.text},
        "card_action": {"type": 1, "url": card.link},
    }
    return {"msgtype": "template_card", "template_card": made}


def _news(card: Card) -> Mapping[str, Any]:
    article = {
        "title": card.title,
        "description": card.text,
        "url": card.link,
        "picurl": card.image,
    }
    return {"msgtype": "news", "news": {"articles": [article]}}


def _measure_wecom(card: Card) -> None:
    _need(card, "title", "text", "link")
    for name, most in zip(("title", "text", "link"), WECOM, strict=True):
        _measure(len(auth.to_bytes(getattr(card, name))), name, most, "bytes")


def _need(card: Card, *names: str) -> None:
    if missing := [name for name in names if not getattr(card, name)]:
        raise ValueError(f"card: has no {' and no '.join(missing)}, which its service wants")


def _measure(size: int, name: str, most: int, unit: str) -> None:
    if size > most:
        raise chat.TooLong(f"card: {name} longer than {most} {unit}")
