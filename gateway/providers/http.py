"""Any service that takes one message a request, described in configuration instead of code.

`url`, `headers` and the strings of `body` are templates (see `templates` for what they can name).
Receipts must be signed as Standard Webhooks 1.0.0 says:
https://github.com/standard-webhooks/standard-webhooks
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import auth, base, templates

#: Longest id that is kept; a longer one is no id.
_MAX_ID = 256
_SUPPRESSED = frozenset({wire.ReceiptEvent.OPTED_OUT, wire.ReceiptEvent.COMPLAINED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How the service reports; paths are names and list indexes joined by dots."""

    #: `whsec_…` or any other secret that both sides know
    secret: str = field(repr=False)
    #: path of its status word
    status: str
    #: its status words to our events; others are unknown, counted and change nothing
    map: Mapping[str, wire.ReceiptEvent]
    #: path of the id that its answer gave; this or `reference` is needed
    id: str = ""
    #: path of our `reference`, if it was sent and comes back
    reference: str = ""
    #: path of an error code; default: the status word is the code
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "http"`."""

    #: what it carries: sms, email, push, …
    channel: wire.Channel
    #: whole URL, or a path when `base_url` is set; a template after the host
    url: str
    #: of the request; default POST
    method: str = "POST"
    #: origin that replaces that of `url`; default: none
    base_url: str = ""
    #: templates by name; default: only Content-Type
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: JSON structure whose strings are templates, or the whole text; default: no body
    body: Any = None
    #: of the body; default application/json
    content_type: str = "application/json"
    #: send `body`, a flat table, as application/x-www-form-urlencoded; default false
    form: bool = False
    #: statuses that mean "taken" besides 2xx, such as 409 for a repeated reference; default none
    accept: tuple[int, ...] = ()
    #: path of the service's own id in its JSON answer; default: the answer's body is not read
    message_id: str = ""
    #: default: it sends no receipts
    receipt: Receipt | None = None

    def __post_init__(self) -> None:
        faults = []
        origin = urlsplit(self.base_url or self.url)
        if origin.scheme not in ("http", "https") or not origin.hostname or "{" in origin.netloc:
            faults.append("url: not http(s)://host/… with a fixed host")
        if self.form and not isinstance(self.body, Mapping):
            faults.append("body: a form needs a table")
        if self.receipt and not self.receipt.secret:
            faults.append("receipt.secret: is empty")
        if self.receipt and not (self.receipt.id or self.receipt.reference):
            faults.append("receipt.id: missing, unless receipt.reference is set")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """One message a request."""

    name: ClassVar[str] = "http"
    batch_limit: ClassVar[int] = 1
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self.channel = settings.channel
        events = frozenset(settings.receipt.map.values()) if settings.receipt else frozenset()
        self.reports = events & {wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.READ}
        self._settings = settings
        self._clock = clock
        self._method = settings.method.upper()
        self._url = templates.compile_text("url", _whole_url(settings), templates.percent)
        headers = {name.lower(): value for name, value in settings.headers.items()}
        if settings.body is not None:
            form = "application/x-www-form-urlencoded"
            headers.setdefault("content-type", form if settings.form else settings.content_type)
        self._headers = templates.compile_tree("headers", headers, templates.one_line)
        self._body = _body(settings)
        self._carries_files = "attachments" in str(settings.body)

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        if content.extra.get("attachments") and not self._carries_files:
            return "the configured body has no place for attachments"
        return ""

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Raises ValueError for files of an email if the body does not name them."""
        for one in messages:
            if objection := self.objection(one.content, one.to):
                raise ValueError(objection)
        return [((message,), self._request(message)) for message in messages]

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        return wire.HttpRequest(
            method=self._method,
            url=self._url(message),
            headers=self._headers(message),
            body=self._body(message),
        )

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [self._result(response)] * len(messages)

    def _result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        if not 200 <= response.status < 300 and response.status not in self._settings.accept:
            return base.result_of_status(response, now_ms=self._clock.now_ms())
        if not self._settings.message_id:
            return wire.Accepted()
        try:
            answer = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return wire.Unknown(code=f"http_{response.status}", detail="answer is not JSON")
        found = at_path(answer, self._settings.message_id)
        return wire.Accepted(provider_id=found, detail="" if found else "answer without an id")

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        receipt = self._settings.receipt
        return receipt is not None and auth.verify_webhook(
            [receipt.secret],
            headers=request.headers,
            body=request.body,
            now_ms=self._clock.now_ms(),
        )

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        """An array holds many; what in it names no message is left out, unless all of it is."""
        receipt = self._settings.receipt
        if receipt is None:
            raise errors.UnreadableReceipt("no receipts are configured")
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise errors.UnreadableReceipt("not JSON") from error
        rows = body if isinstance(body, list) else [body]
        found = [read for row in rows if (read := _read_receipt(receipt, row))]
        if rows and not found:
            raise errors.UnreadableReceipt("neither an id nor a status of a message")
        return found

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=204)


def _read_receipt(receipt: Receipt, row: Any) -> wire.DeliveryReceipt | None:
    status = at_path(row, receipt.status)
    provider_id, reference = at_path(row, receipt.id), at_path(row, receipt.reference)
    if not status or not (provider_id or reference):
        return None
    event = receipt.map.get(status, wire.ReceiptEvent.UNKNOWN)
    return wire.DeliveryReceipt(
        event=event,
        provider_id=provider_id,
        reference=reference,
        code=(at_path(row, receipt.code) or status)[:60],
        suppress=event in _SUPPRESSED,
    )


def at_path(value: Any, path: str) -> str:
    """The text or whole number at a dotted path, such as `messages.0.id`; empty when none is."""
    for name in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isascii() and name.isdecimal():
            value = value[int(name)] if int(name) < len(value) else None
        else:
            return ""
    if not path or isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    return text if len(text) <= _MAX_ID else ""


def _whole_url(settings: Settings) -> str:
    if not settings.base_url:
        return settings.url
    path = re.sub(r"^https?://[^/?#]*", "", settings.url)
    return settings.base_url.rstrip("/") + path


def _body(settings: Settings) -> Callable[[wire.Message], bytes]:
    if settings.body is None:
        return lambda message: b""
    if isinstance(settings.body, str):
        text = templates.compile_text(
            "body", settings.body, templates.escape_for(settings.content_type)
        )
        return lambda message: text(message).encode("utf-8", "replace")
    tree = templates.compile_tree("body", settings.body)
    if settings.form:
        return lambda message: urlencode(tree(message), errors="replace").encode("ascii")
    return lambda message: orjson.dumps(tree(message))
