"""What our reports to tenants say of people, and what is left once somebody is forgotten."""

import re
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from gateway.model.message import Message, MessageId
from gateway.model.values import replace

#: Of a report's data: what is not said in words of ours, and what is put in its place.
_SAID: Mapping[str, object] = {
    "from": "",
    "text": "",
    "detail": "",
    "metadata": {},
    "recipient": None,
}


def is_about(
    report: Message, *, recipient: str, messages: AbstractSet[MessageId], words: Collection[str]
) -> bool:
    """Whether a report is about a recipient or one of these messages, or has one of these addresses
    among what people, tenants and providers say: an id such as `sms` is also a word of ours."""
    data = _read(report).get("data", {})
    if not any(data.get(name) for name in _SAID):
        return False  # there is nothing to take from it
    if messages & {data.get("id"), data.get("answers")} or data.get("recipient") == recipient:
        return True
    sought = [re.compile(rf"(?<!\w){re.escape(one)}(?!\w)", re.I) for one in words]
    return any(one.search(text) for text in _texts(data) for one in sought)


def unsaid(report: Message) -> Message:
    """A report that tells what became of a message, and nothing of whom it was for."""
    told = _read(report)
    data = {name: _SAID.get(name, value) for name, value in told["data"].items()}
    text = msgspec.json.encode({**told, "data": data}).decode()
    return replace(report, content={**report.content, "text": text})


def _read(report: Message) -> Mapping[str, Any]:
    told: Mapping[str, Any] = msgspec.json.decode(str(report.content.get("text", "")) or "{}")
    return told


def _texts(data: Mapping[str, Any]) -> Sequence[str]:
    told = [data.get(name) for name in _SAID]
    found: list[str] = []
    while told:
        match told.pop():
            case str(text):
                found.append(text)
            case dict(values):
                told += [*values, *values.values()]
            case list(values):
                told += values
    return found
