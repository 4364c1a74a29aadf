"""What chat services have in common: a text out of a content, and no receipts.

An account is one robot, bot or webhook, hence the limits, faults and pauses of an account are
exactly those of the robot. Where its address is a secret (`hooks.slack.com/services/…`), messages
name the group by a word of the account's own, its setting `chat`.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import orjson

from gateway.content import pushes
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, trial

T = TypeVar("T")


class TooLong(ValueError):
    """It would fit with shorter texts."""


class Silent(base.HttpProvider):
    """A service that reports nothing about what it took, one message a call."""

    channel = wire.Channel.CHAT
    batch_limit: ClassVar[int] = 1
    reports: frozenset[wire.ReceiptEvent] = frozenset()
    credential: base.Credential | None = None

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return trial.objection(self._call, content, to, self.channel)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._call(message)) for message in messages]

    def _call(self, message: wire.Message) -> wire.HttpRequest:
        """Raises ValueError."""
        return within(message.content, lambda one: self.request(replace(message, content=one)))

    def request(self, message: wire.Message) -> wire.HttpRequest:
        """The call for one message. Raises ValueError when there can be none; TooLong where its
        texts are in the way."""
        raise NotImplementedError

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [self.result(response)] * len(messages)

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        """What an answer means."""
        raise NotImplementedError

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        raise errors.UnreadableReceipt("nothing is reported")

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=404)


def post(url: str, body: Mapping[str, Any]) -> wire.HttpRequest:
    """JSON in UTF-8."""
    headers = {"content-type": "application/json; charset=utf-8"}
    return wire.HttpRequest(method="POST", url=url, headers=headers, body=orjson.dumps(body))


def check_group(message: wire.Message, chat: str) -> None:
    """Raises ValueError when the message is for another group than the robot's."""
    if chat and message.to.chat != chat:
        raise ValueError("to.chat: not the group of this account")


def title_of(content: wire.Content) -> str:
    return content.title or content.subject


def link_of(content: wire.Content) -> str:
    link = content.extra.get("link")
    return link if isinstance(link, str) else ""


def image_of(content: wire.Content) -> str:
    image = content.extra.get("image")
    return image if isinstance(image, str) else ""


def within(content: wire.Content, build: Callable[[wire.Content], T]) -> T:
    """What `build` makes of a content, whose texts are cut as far as it allows where they are too
    long. Raises what `build` raises."""
    try:
        return build(content)
    except TooLong:
        if not content.extra.get("cut"):
            raise

    def excess(one: wire.Content) -> int:
        try:
            build(one)
        except TooLong:
            return 1
        return 0

    titled = content if content.title else replace(content, title=content.subject)
    return build(pushes.fit(titled, excess, 0))


def plain(content: wire.Content, *, max_bytes: int) -> str:
    """Title, text and link in lines of their own. Raises TooLong."""
    lines = (title_of(content), content.text, link_of(content))
    text = "\n".join(line for line in lines if line)
    if len(auth.to_bytes(text)) > max_bytes:
        raise TooLong(f"text: longer than {max_bytes} bytes")
    return text


def own(content: wire.Content, kind: str) -> Mapping[str, Any]:
    """The content's table for a kind: parts of the request as the service wants them."""
    table = content.provider_templates.get(kind)
    return table if isinstance(table, Mapping) else {}


def of_a_batch(code: str) -> wire.Deferred:
    """The fate of each message of a call that was refused as a whole, perhaps for one of them."""
    detail = "refused with a whole call"
    return wire.Deferred(code=code, detail=detail, cause=wire.Cause.RECIPIENT, apart=True)


def mac(key: bytes, text: bytes) -> bytes:
    """HMAC-SHA256, as all of them sign."""
    return hmac.digest(key, text, "sha256")
