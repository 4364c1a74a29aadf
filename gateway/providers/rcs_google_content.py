"""What an RBM message carries: texts, rich cards, files, suggestions, and what recipients answer.

https://developers.google.com/business-communications/rcs-business-messaging/reference/rest/v1/phones.agentMessages
"""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.model import wire
from gateway.providers import chat, mail_api

#: Characters of a text, of a card's title and of its description.
MAX_TEXT, MAX_TITLE, MAX_DESCRIPTION = 3072, 200, 2000
#: Suggestions below a message, and bytes of all of it.
MAX_SUGGESTIONS, MAX_BYTES = 11, 250 * 1024
#: Characters of what a suggestion shows.
MAX_SHOWN = 25
_CARD, _CAROUSEL = "RICHCARD_STANDALONE", "RICHCARD_CAROUSEL"
#: What a phone must be able to do for an action.
_ACTIONS = {"openUrlAction": "ACTION_OPEN_URL", "dialAction": "ACTION_DIAL"}


def write(content: wire.Content, kind: str) -> Mapping[str, Any]:
    """An AgentContentMessage of a content with a table of this kind, perhaps.

    Raises ValueError when it is too long, or its suggestions are wrong or too many.
    """
    own, image = chat.own(content, kind), content.extra.get("image")
    if isinstance(card := own.get("card"), Mapping):
        said: dict[str, Any] = {"richCard": dict(card)}
    elif isinstance(file := own.get("file"), str) and file:
        said = {"contentInfo": {"fileUrl": mail_api.clean(file)}}
    elif isinstance(image, str) and image:
        said = {"richCard": _card(content, mail_api.clean(image))}
    else:
        said = {"text": _text(content)}
    if suggestions := _suggestions(content.extra.get("suggestions")):
        said["suggestions"] = suggestions
    try:
        size = len(orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS))
    except TypeError:
        raise ValueError(f"{kind}.card: not JSON") from None
    if size > MAX_BYTES:
        raise ValueError(f"content: more than {MAX_BYTES} bytes")
    return said


def _text(content: wire.Content) -> str:
    lines = (chat.title_of(content), content.text, chat.link_of(content))
    text = mail_api.clean("\n".join(line for line in lines if line))
    if len(text) > MAX_TEXT:
        raise ValueError(f"text: longer than {MAX_TEXT} characters")
    return text


def _card(content: wire.Content, image: str) -> Mapping[str, Any]:
    title = mail_api.clean(chat.title_of(content))
    lines = (content.text, chat.link_of(content))
    description = mail_api.clean("\n".join(line for line in lines if line))
    if len(title) > MAX_TITLE:
        raise ValueError(f"title: longer than {MAX_TITLE} characters")
    if len(description) > MAX_DESCRIPTION:
        raise ValueError(f"text: longer than {MAX_DESCRIPTION} characters in a card")
    media = {"height": "MEDIUM", "contentInfo": {"fileUrl": image}}
    texts = {"title": title, "description": description}
    shown = {name: text for name, text in texts.items() if text}
    return {
        "standaloneCard": {"cardOrientation": "VERTICAL", "cardContent": {**shown, "media": media}}
    }


def _suggestions(given: object) -> list[Mapping[str, Any]]:
    if not isinstance(given, list | tuple):
        return []
    if len(given) > MAX_SUGGESTIONS:
        raise ValueError(f"suggestions: more than {MAX_SUGGESTIONS}")
    return [_suggestion(f"suggestions[{at}]", one) for at, one in enumerate(given)]


def _suggestion(path: str, given: object) -> Mapping[str, Any]:
    """A button by its `text`: opens `link`, dials `phone`, else answers, with `postback`."""
    table = given if isinstance(given, Mapping) else {}
    words = {name: table.get(name, "") for name in ("text", "postback", "link", "phone")}
    if not words["text"] or not all(isinstance(one, str) for one in words.values()):
        raise ValueError(f"{path}: no text, or values that are none")
    words = {name: mail_api.clean(one) for name, one in words.items()}
    if len(words["text"]) > MAX_SHOWN:
        raise ValueError(f"{path}.text: longer than {MAX_SHOWN} characters")
    shown = {"text": words["text"], "postbackData": words["postback"] or words["text"]}
    if words["link"]:
        return {"action": {**shown, "openUrlAction": {"url": words["link"]}}}
    if words["phone"]:
        return {"action": {**shown, "dialAction": {"phoneNumber": words["phone"]}}}
    return {"reply": shown}


def needs(said: Mapping[str, Any]) -> set[str]:
    """What a phone must be able to do for this, as the API calls it."""
    card = said.get("richCard", {})
    found = {_CAROUSEL} if "carouselCard" in card else {_CARD} if card else set()
    for one in said.get("suggestions", ()):
        found |= {need for name, need in _ACTIONS.items() if name in one.get("action", {})}
    return found


def read(event: Mapping[str, Any]) -> str:
    """The text, or that of the button that was pressed; nothing of a file or a place."""
    pressed = mail_api.table_of(event, "suggestionResponse")
    text = mail_api.text_of(pressed, "text") or mail_api.text_of(pressed, "postbackData")
    return mail_api.text_of(event, "text") or text
