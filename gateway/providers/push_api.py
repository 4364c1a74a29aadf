"""What providers of push share: what is said and how long it may be, whose a token is, who may
share a call, and names.

Knows no provider by name, does no I/O. What a push may say is `content.pushes`' to tell. Services
that take one content for many tokens give an id to the call only; a message is then known by that
id and its token.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar

import orjson

from gateway.clock import Clock
from gateway.content import pushes
from gateway.model import wire
from gateway.model.values import Value, replace
from gateway.providers import base, mail_api

#: Bits of a time to live that messages in one call must have in common: they may differ by 1/16.
_TTL_BITS = 5
#: Bytes that the longest character of a text takes in JSON, and what stands around all of them.
_WORST, _AROUND = 6, 1000
#: What services' own tokens are made of; a Web Push subscription is an object in JSON.
_TOKEN = re.compile(r"[A-Za-z0-9_:%.~=+/-]+")
#: Stands for what a message will be called, when only its length counts.
_ID, _REFERENCE = "0" * 36, "0" * 48
_FAR = datetime(9999, 1, 1, tzinfo=UTC)


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
        """The data as it was given, with names that are texts."""
        given = self.message.content.extra.get("data") if self.data else None
        return {str(name): value for name, value in given.items()} if given else {}

    def length(self) -> int:
        """Bytes in JSON, at the most, of what it says."""
        texts = self.title, self.body, self.link, self.image, self.sound, self.collapse_key
        return _WORST * sum(map(len, texts)) + 2 * (len(self.data) + len(self.own))

    def own_table(self) -> dict[str, Any]:
        """The kind's own part of the content."""
        found: dict[str, Any] = orjson.loads(self.own) if self.own else {}
        return found


class PushProvider(base.HttpProvider):
    """A service of push, over HTTP."""

    channel = wire.Channel.PUSH
    #: of what `size` measures
    most_bytes: ClassVar[int]
    #: parts of the request that a content's own table may say more of, as the API calls them, and
    #: what else it may say; none: the kind looks at it by itself
    blocks: ClassVar[Sequence[str]] = ()
    own_words: ClassVar[Sequence[str]] = ()
    #: what every push may have, to whatever token
    least_bytes: ClassVar[int] = 2048

    def __init__(self, account: str, apps: Sequence[str], clock: Clock) -> None:
        """apps: that this account serves; none: any."""
        self.account = account
        self._apps = frozenset(apps)
        self._clock = clock

    def size(self, push: Push) -> int:
        """Bytes of it, as the service counts them."""
        raise NotImplementedError

    def most_of(self, push: Push) -> int:
        """Bytes that this push may have."""
        return self.most_bytes

    def token_fault(self, token: str) -> str:
        """Why it is certain that this is no token of the service; empty when it may be one."""
        return "" if _TOKEN.fullmatch(token) else "not a token of this service"

    def misfit(self, to: wire.Address) -> str:
        if self._apps and to.app and to.app not in self._apps:
            return "app: this account does not serve it"
        fault = self.token_fault(to.token)
        return f"token: {fault}" if fault else ""

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        if fault := self.misfit(to):
            return fault
        if _is_short(content, self.name, self.least_bytes):
            return ""
        try:
            self.read(_sample(content, to))
        except ValueError as error:
            return str(error)
        return ""

    def read(self, message: wire.Message) -> Push:
        """What the message says, as short as it must be. Raises ValueError when it cannot be."""
        push = self._read(message)
        if push.own and self.blocks:
            self._check_own(push)
        # Nearly all are far from any limit, which need not be measured then.
        if push.length() + _AROUND <= (most := self.most_of(push)) or self.size(push) <= most:
            return push
        given = message.content
        given = given if given.title else replace(given, title=given.subject)
        content = pushes.fit(given, lambda one: self.size(self._with(message, one)), most)
        push = self._with(message, content)
        if self.size(push) > most:
            raise ValueError(f"content: more than {most} bytes as a push")
        return push

    def _check_own(self, push: Push) -> None:
        for name, block in push.own_table().items():
            if name not in self.blocks and name not in self.own_words:
                raise ValueError(f"{self.name}.{name[:40]}: not one of {', '.join(self.blocks)}")
            if name in self.blocks and not isinstance(block, Mapping):
                raise ValueError(f"{self.name}.{name}: not a table")

    def laid_over(self, request: Mapping[str, Any], push: Push) -> dict[str, Any]:
        """What we say, with the blocks of the content's own table, whose word is the last."""
        own = push.own_table() if push.own else {}
        return lay_over(request, {name: own[name] for name in self.blocks if name in own})

    def _with(self, message: wire.Message, content: wire.Content) -> Push:
        return self._read(replace(message, content=content))

    def _read(self, message: wire.Message) -> Push:
        return read(message, kind=self.name, now_ms=self._clock.now_ms())


def lay_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Both, tables in each other, and where they differ the upper."""
    both = dict(lower)
    for name, value in upper.items():
        under = both.get(name)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            value = lay_over(under, value)
        both[name] = value
    return both


def _is_short(content: wire.Content, kind: str, most: int) -> bool:
    """Whether it is certain to fit, without a look at what it comes to."""
    if "data" in content.extra or kind in content.provider_templates:
        return False
    texts = content.title, content.subject, content.text, *content.extra.values()
    return _WORST * sum(len(one) for one in texts if isinstance(one, str)) + _AROUND <= most


def _sample(content: wire.Content, to: wire.Address) -> wire.Message:
    """A message with this content, of names as long as they can be."""
    return wire.Message(
        id=_ID,
        reference=_REFERENCE,
        channel=wire.Channel.PUSH,
        category="",
        to=to,
        content=content,
        expires_at=_FAR,
    )


def read(message: wire.Message, *, kind: str, now_ms: int) -> Push:
    """What the message says. Raises ValueError for data that no JSON can hold."""
    content, extra = message.content, message.content.extra
    badge = extra.get("badge")
    counted = isinstance(badge, int) and not isinstance(badge, bool) and badge >= 0
    left = max(int(message.expires_at.timestamp() - now_ms / 1000), 0)
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
        ttl=min(left, _seconds(extra.get("ttl"), left)),
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


def _seconds(value: object, default: int) -> int:
    good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return int(value) if good and isinstance(value, int | float) else default


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
