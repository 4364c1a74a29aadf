"""RCS by Google's RCS for Business (RBM), API v1: texts, rich cards and suggestions.

Send: https://developers.google.com/business-communications/rcs-business-messaging/reference/rest/v1/phones.agentMessages/create
Phones: https://developers.google.com/business-communications/rcs-business-messaging/reference/rest/v1/phones/getCapabilities
Events: https://developers.google.com/business-communications/rcs-business-messaging/guides/build/events/receive-events
Webhook: https://developers.google.com/business-communications/rcs-business-messaging/guides/integrate/webhooks

A message's id is made of our reference: a second copy is ignored. A phone without RCS is refused
with 404, and the chain goes on, to SMS; with `check` it is asked first what it can do. Either is
remembered for a day. What cannot be delivered in time is revoked by Google and reported as expired.
A card is made where there is an `image`, or given whole as `card` of the content's `rcs_google`.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import quote
from uuid import UUID, uuid5

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, errcodes, google_key, mail_api, rcs_google_content, trial

SCOPE = "https://www.googleapis.com/auth/rcsbusinessmessaging"
#: Seconds that a message waits for a phone: the most, and the least that is advised.
MAX_TTL, MIN_TTL = 1_296_000, 10
#: Makes message ids of references; drawn once, never to change.
_NAMESPACE = UUID("5b0d8a9e-5b5f-4f0e-9c37-9a3c0f6f9d11")
#: Characters of the secret that proves an address, which we give back as it came.
_MAX_SECRET = 512

_TROUBLE = frozenset({"UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"})
_NO_RCS = wire.Rejected(code="NOT_FOUND", detail="no RCS there", scope=wire.Scope.RECIPIENT)
#: By status of an error; others go by their HTTP status.
RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    "INVALID_ARGUMENT": wire.Rejected(code="", detail="request refused"),
    "UNAUTHENTICATED": wire.Deferred(code=errcodes.TOKEN_REFUSED, cause=wire.Cause.CREDENTIAL),
    "PERMISSION_DENIED": wire.Deferred(
        code="", detail="agent not launched there, or not ours", cause=wire.Cause.CREDENTIAL
    ),
    "NOT_FOUND": _NO_RCS,
    "RESOURCE_EXHAUSTED": wire.Deferred(code="", cause=wire.Cause.THROTTLED),
    **dict.fromkeys(_TROUBLE, wire.Deferred(code="")),
}
#: What an answer without a readable body stands for.
STATUSES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
_DELIVERED, _READ = wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.READ
#: By eventType: those of messages.
EVENTS: Mapping[str, tuple[wire.ReceiptEvent, str]] = {
    "DELIVERED": (_DELIVERED, ""),
    "READ": (_READ, ""),
    "TTL_EXPIRATION_REVOKED": (wire.ReceiptEvent.EXPIRED, "revoked"),
    # Perhaps delivered: then DELIVERED follows.
    "TTL_EXPIRATION_REVOKE_FAILED": (wire.ReceiptEvent.UNKNOWN, "not revoked"),
}
_WISHES = {"UNSUBSCRIBE": wire.Wish.OPT_OUT, "SUBSCRIBE": wire.Wish.OPT_IN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "rcs_google"`."""

    #: JSON text of the service account's key file
    service_account: str = field(repr=False)
    #: id of the agent, without what follows `@`
    agent_id: str
    #: where the agent lives: us, europe or asia
    region: Literal["us", "europe", "asia"] = "us"
    #: ask what a phone can do before anything is sent to it; default no: the answer tells
    check: bool = False
    #: categories that are one-time codes (AUTHENTICATION); default otp
    codes: Sequence[str] = ("otp",)
    #: categories that are marketing (PROMOTION); default marketing
    marketing: Sequence[str] = ("marketing",)
    #: seconds that a message waits for a phone that is off; default: as long as it is of use
    ttl: int = 0
    #: `clientToken` of the webhook, which signs reports; default: none, and no report is believed
    client_token: str = field(default="", repr=False)
    #: token endpoint; default: the key file's, which is Google's
    token_uri: str = ""
    #: origin of the API; default: the region's
    base_url: str = ""

    def __post_init__(self) -> None:
        faults = [] if self.agent_id else ["agent_id: is empty"]
        if self.ttl and not MIN_TTL <= self.ttl <= MAX_TTL:
            faults.append(f"ttl: not between {MIN_TTL} and {MAX_TTL} seconds")
        errcodes.check(faults)


class Provider(base.HttpProvider):
    """One message a request; the API has no batches."""

    name: ClassVar[str] = "rcs_google"
    channel = wire.Channel.RCS
    batch_limit: ClassVar[int] = 1
    drops_repeats: ClassVar[bool] = True
    limits: ClassVar[str] = "3,072 characters"

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._settings = settings
        self._clock = clock
        key = google_key.read(settings.service_account, needed={"token_uri": settings.token_uri})
        self.credential: base.Credential | None = google_key.credential(key, SCOPE, clock)
        region = f"https://{settings.region}-rcsbusinessmessaging.googleapis.com"
        self._origin = (settings.base_url or region).rstrip("/")
        self._agent = quote(settings.agent_id, safe="")
        self._token = auth.to_bytes(settings.client_token)
        self.reports = frozenset({_DELIVERED, _READ} if self._token else ())

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        if trial.is_short(content, octets=rcs_google_content.MAX_TEXT):
            return ""
        return trial.objection(self._said, content, to, self.channel)

    def _said(self, message: wire.Message) -> Mapping[str, Any]:
        return rcs_google_content.write(message.content, self.name)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Raises ValueError for a content that cannot be sent."""
        return [((message,), self._request(message)) for message in messages]

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        left = int(message.expires_at.timestamp() - self._clock.now_ms() / 1000)
        ttl = min(left, self._settings.ttl or MAX_TTL, MAX_TTL)
        body = {
            "contentMessage": self._said(message),
            "messageTrafficType": self._traffic(message.category),
            "ttl": f"{max(ttl, MIN_TTL)}s",
        }
        url = self._url(message.to, "agentMessages", f"messageId={_id(message)}")
        headers = {"content-type": "application/json"}
        return wire.HttpRequest(
            method="POST",
            url=url,
            headers=headers,
            body=orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS),
        )

    def _url(self, to: wire.Address, what: str, query: str) -> str:
        phone = quote(to.phone, safe="")
        return f"{self._origin}/v1/phones/{phone}/{what}?{query}&agentId={self._agent}"

    def _traffic(self, category: str) -> str:
        if category in self._settings.codes:
            return "AUTHENTICATION"
        return "PROMOTION" if category in self._settings.marketing else "TRANSACTION"

    def inquiry(self, message: wire.Message) -> wire.HttpRequest | None:
        if not self._settings.check:
            return None
        query = f"requestId={uuid5(_NAMESPACE, f'phone {message.reference}')}"
        return wire.HttpRequest(method="GET", url=self._url(message.to, "capabilities", query))

    def read_inquiry(
        self, message: wire.Message, response: wire.HttpResponse
    ) -> wire.Rejected | None:
        """Trouble is left to the message itself: it will meet the same."""
        if response.status == 404:
            return _NO_RCS
        features = auth.json_object(response.body).get("features")
        if response.status != 200 or not isinstance(features, list):
            return None
        lacking = rcs_google_content.needs(self._said(message)) - {str(one) for one in features}
        if lacking:
            return wire.Rejected(code="no_feature", detail=", ".join(sorted(lacking)))
        return None

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [self._result(one, response) for one in messages]

    def _result(self, message: wire.Message, response: wire.HttpResponse) -> wire.AttemptResult:
        answer, now_ms = auth.json_object(response.body), self._clock.now_ms()
        if 200 <= response.status < 300:
            if mail_api.text_of(answer, "name"):
                return wire.Accepted(provider_id=_id(message))
            return wire.Unknown(code=f"http_{response.status}", detail="answer without name")
        status = mail_api.text_of(mail_api.table_of(answer, "error"), "status")
        status = status if status in RESULTS else STATUSES.get(response.status, "")
        known = RESULTS.get(status)
        if known is None:
            return base.result_of_status(response, now_ms=now_ms)
        if isinstance(known, wire.Deferred):
            known = replace(known, retry_after=base.retry_after(response, now_ms=now_ms))
        return replace(known, code=known.code or status)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        """Whether Google signed what it brings, or proves to know our token. Events come again for
        days, so that nothing is too old."""
        if not self._token:
            return False
        body = auth.json_object(request.body)
        offered = mail_api.text_of(body, "clientToken")
        if "message" not in body:
            return hmac.compare_digest(self._token, auth.to_bytes(offered))
        expected = b64encode(hmac.digest(self._token, _data(body), "sha512"))
        signature = auth.to_bytes(request.headers.get("x-goog-signature", ""))
        return hmac.compare_digest(expected, signature)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        event = self._event(request)
        kind = mail_api.text_of(event, "eventType")
        id = mail_api.text_of(event, "messageId")
        if not kind or kind == "IS_TYPING" or kind in _WISHES or "newLaunchState" in event:
            return []
        if not id:
            raise errors.UnreadableReceipt("no messageId of an event")
        told, detail = EVENTS.get(kind, (wire.ReceiptEvent.UNKNOWN, ""))
        at = base.read_time(event.get("sendTime"))
        return [
            wire.DeliveryReceipt(event=told, provider_id=id, code=kind[:60], detail=detail, at=at)
        ]

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        event = self._event(request)
        kind = mail_api.text_of(event, "eventType")
        if not event or "newLaunchState" in event or (kind and kind not in _WISHES):
            return []
        sender = mail_api.text_of(event, "senderPhoneNumber")
        id = mail_api.text_of(event, "messageId") or mail_api.text_of(event, "eventId")
        if not sender or not id:
            raise errors.UnreadableReceipt("neither a sender nor an id of a message")
        return [
            wire.InboundMessage(
                sender=sender,
                to=self._settings.agent_id,
                text=rcs_google_content.read(event),
                provider_id=id,
                wish=_WISHES.get(kind),
                at=base.read_time(event.get("sendTime")),
            )
        ]

    def _event(self, request: wire.HttpRequest) -> Mapping[str, Any]:
        """What a verified request tells; nothing where it proves our address, or is about another
        agent that shares it. Raises UnreadableReceipt."""
        body = auth.json_object(request.body)
        if "message" not in body and mail_api.text_of(body, "clientToken"):
            return {}
        event = auth.json_object(_data(body))
        if not event:
            raise errors.UnreadableReceipt("no data")
        agent = mail_api.text_of(event, "agentId").partition("@")[0]
        return {} if agent and agent != self._settings.agent_id.partition("@")[0] else event

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        secret = mail_api.text_of(auth.json_object(request.body), "secret")
        body = auth.to_bytes(secret) if len(secret) <= _MAX_SECRET else b""
        headers = {"content-type": "text/plain; charset=utf-8"}
        return wire.HttpResponse(status=200, headers=headers, body=body)


def _id(message: wire.Message) -> str:
    return str(uuid5(_NAMESPACE, message.reference))


def _data(body: Mapping[str, Any]) -> bytes:
    try:
        return b64decode(
            auth.to_bytes(mail_api.text_of(mail_api.table_of(body, "message"), "data"))
        )
    except (NotBase64, ValueError):
        return b""
