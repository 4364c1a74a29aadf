"""What providers of push by many tokens share: what is said, who may share a call, and names.

Knows no provider by name, does no I/O. Services that take one content for many tokens give an id
to the call only; a message is then known by that id and its token.
"""

from collections.abc import Hashable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from gateway.model import wire
from gateway.model.values import Value
from gateway.providers import mail_api

#: Bits of a time to live that messages in one call must have in common: they may differ by 1/16.
_TTL_BITS = 5


class Push(Value):
    """A message as services of this sort want it. Absent texts are empty."""

    message: wire.Message
    token: str
    title: str
    body: str
    #: JSON object, the same text for the same values; empty when there is nothing in it
    data: str
    link: str
    image: str
    sound: str
    collapse_key: str
    #: absolute, 0 clears it; None: leave it
    badge: int | None
    urgent: bool
    #: seconds from now
    ttl: int
    #: what the content says for this kind alone, as JSON; empty for nothing
    own: str

    @property
    def shown(self) -> bool:
        """Whether people see it; else it is for the app alone."""
        return bool(self.title or self.body)

    @property
    def common(self) -> Hashable:
        """What must be equal of messages in one call."""
        texts = self.title, self.body, self.data, self.link, self.image, self.sound, self.own
        rest = self.collapse_key, self.badge, self.urgent, _rounded(self.ttl)
        return (*texts, *rest, self.message.category)

    def data_object(self) -> dict[str, Any]:
        """The data as it was given."""
        found: dict[str, Any] = orjson.loads(self.data) if self.data else {}
        return found

    def own_table(self) -> dict[str, Any]:
        """The kind's own part of the content."""
        found: dict[str, Any] = orjson.loads(self.own) if self.own else {}
        return found


def read(message: wire.Message, *, kind: str, now_ms: int) -> Push:
    """What the message says. Raises ValueError for data that no JSON can hold."""
    content, extra = message.content, message.content.extra
    badge = extra.get("badge")
    counted = isinstance(badge, int) and not isinstance(badge, bool) and badge >= 0
    return Push(
        message=message,
        token=mail_api.clean(message.to.token),
        title=mail_api.clean(content.title or content.subject),
        body=mail_api.clean(content.text),
        data=_json(extra.get("data")),
        link=_text(extra, "link"),
        image=_text(extra, "image"),
        sound=_text(extra, "sound"),
        collapse_key=_text(extra, "collapse_key"),
        badge=badge if counted else None,
        urgent=message.priority <= 1,
        ttl=max(int(message.expires_at.timestamp() - now_ms / 1000), 0),
        own=_json(content.provider_templates.get(kind)),
    )


def share(pushes: Sequence[Push], *, limit: int) -> Sequence[Sequence[Push]]:
    """Calls of at most `limit`: equal contents together, a token once a call, in their order."""
    calls: dict[Hashable, list[dict[str, Push]]] = {}
    for one in pushes:
        open_calls = calls.setdefault(one.common, [])
        for call in open_calls:
            if one.token not in call and len(call) < limit:
                break
        else:
            open_calls.append(call := {})
        call[one.token] = one
    return [tuple(call.values()) for open_calls in calls.values() for call in open_calls]


def shortest(call: Sequence[Push]) -> int:
    """Seconds to live of a call: no message outlives its own time."""
    return min(one.ttl for one in call)


def name(call: str, token: str) -> str:
    """A name for one message of a call; empty without the call's id.

    The same from the token as we wrote it and as a report gives it back.
    """
    digest = sha256(mail_api.clean(token).encode()).hexdigest()
    return f"{call}/{digest[:16]}" if call else ""


def _rounded(ttl: int) -> int:
    step = 1 << max(0, ttl.bit_length() - _TTL_BITS)
    return ttl // step * step


def _text(extra: Mapping[str, Any], key: str) -> str:
    value = extra.get(key)
    return mail_api.clean(value) if isinstance(value, str) else ""


def _json(value: object) -> str:
    if not isinstance(value, Mapping) or not value:
        return ""
    try:
        return orjson.dumps(
            dict(value), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
        ).decode()
    except TypeError:
        raise ValueError("data: not JSON") from None
