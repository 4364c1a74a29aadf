"""What 5G messages carry: texts, cards, files, suggestions, and what recipients answer.

Cards and suggestions are of GSMA RCC.07 §3.6.10, several parts in one body of RFC 2046 §5.1.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.model import wire
from gateway.providers import auth, chat, mail_api

TEXT = "text/plain"
FILE = "application/vnd.gsma.rcs-ft-http+xml"
CARD = "application/vnd.gsma.botmessage.v1.0+json"
SUGGESTIONS = "application/vnd.gsma.botsuggestion.v1.0+json"
SUGGESTED = "application/vnd.gsma.botsuggestion.response.v1.0+json"
#: RCC.07: buttons below a message.
MAX_SUGGESTIONS = 11


def write(content: wire.Content, kind: str) -> tuple[str, str]:
    """(contentType, bodyText) of a content with a table of this kind, perhaps.

    Raises ValueError when it has more suggestions than fit, or wrong ones.
    """
    own = content.provider_templates.get(kind, {})
    lines = (content.title, content.text, chat.link_of(content))
    content_type, body = TEXT, "\n".join(line for line in lines if line)
    if isinstance(card := own.get("card"), Mapping):
        content_type, body = CARD, orjson.dumps(dict(card), option=orjson.OPT_NON_STR_KEYS).decode()
    elif isinstance(file := own.get("file"), str) and file:
        content_type, body = FILE, file
    body = mail_api.clean(body)
    given = content.extra.get("suggestions")
    if not isinstance(given, list | tuple) or not given:
        return content_type, body
    if len(given) > MAX_SUGGESTIONS:
        raise ValueError(f"suggestions: more than {MAX_SUGGESTIONS}")
    rows = [_suggestion(f"suggestions[{at}]", one) for at, one in enumerate(given)]
    return _multipart(
        (content_type, body), (SUGGESTIONS, orjson.dumps({"suggestions": rows}).decode())
    )


def _suggestion(path: str, given: object) -> Mapping[str, Any]:
    """A button by its `text`: opens `link`, dials `phone`, else answers, with `postback`."""
    table = given if isinstance(given, Mapping) else {}
    words = {name: table.get(name, "") for name in ("text", "postback", "link", "phone")}
    if not words["text"] or not all(isinstance(one, str) for one in words.values()):
        raise ValueError(f"{path}: no text, or values that are none")
    words = {name: mail_api.clean(one) for name, one in words.items()}
    shown = {
        "displayText": words["text"],
        "postback": {"data": words["postback"] or words["text"]},
    }
    if words["link"]:
        return {"action": {"urlAction": {"openUrl": {"url": words["link"]}}, **shown}}
    if words["phone"]:
        dial = {"dialPhoneNumber": {"phoneNumber": words["phone"]}}
        return {"action": {"dialerAction": dial, **shown}}
    return {"reply": shown}


def _multipart(*parts: tuple[str, str]) -> tuple[str, str]:
    mark = "[delimiter]"
    while any(f"--{mark}" in body for _, body in parts):
        mark = f"[{mark[1:-1]}-]"
    rows = [
        f"--{mark}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}\r\n"
        for kind, body in parts
    ]
    return f'multipart/mixed; boundary="{mark}"', "".join([*rows, f"--{mark}--"])


def read(table: Mapping[str, Any]) -> str:
    """The text, or that of the button that was pressed."""
    text = mail_api.text_of(table, "bodyText")
    if mail_api.text_of(table, "contentEncoding").lower() == "base64":
        try:
            text = b64decode(text).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            text = ""
    if mail_api.text_of(table, "contentType").partition(";")[0].strip() != SUGGESTED:
        return text
    response = mail_api.table_of(auth.json_object(auth.to_bytes(text)), "response")
    pressed = mail_api.table_of(response, "reply") or mail_api.table_of(response, "action")
    data = mail_api.text_of(mail_api.table_of(pressed, "postback"), "data")
    return mail_api.text_of(pressed, "displayText") or data
