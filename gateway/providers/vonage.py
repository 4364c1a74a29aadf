"""Vonage Messages API v1: SMS and RCS.

Send: https://developer.vonage.com/api/messages
Errors: https://developer.vonage.com/api-errors/messages
Status webhooks: https://developer.vonage.com/messages/concepts/messages-status-callbacks
Signed webhooks: https://developer.vonage.com/getting-started/concepts/webhooks

With `application_id` and `private_key` requests carry a JWT, and Vonage reports; with `api_key` and
`api_secret` it takes messages and says no more. Webhooks must be signed: their JWT covers the
body, names the account and is good for minutes; which came before is not remembered, as a report
may come twice anyway. The API knows no idempotency key: a request sent
again is another message. Its own error texts are not passed on, since they may repeat a number.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, ClassVar, Literal
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, jwt, sms_limits, vonage_codes

#: Seconds of `ttl`, by channel: of the SMS API and of RCS messages.
TTL = {wire.Channel.SMS: (20, 604_800), wire.Channel.RCS: (300, 259_200)}
#: Characters of `text`.
LONGEST = {wire.Channel.SMS: 1000, wire.Channel.RCS: 3072}
#: Seconds that a JWT is good for, as Vonage's SDKs make them, and for which we use the same one.
TOKEN_LIFETIME, TOKEN_USE = 900, 600

#: Whose fault a parameter of a 422 is, other than the message's.
_BLAME = {"to": wire.Scope.RECIPIENT, "from": wire.Scope.PROVIDER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "vonage"`."""

    #: sender: number without `+`, short code, alphanumeric name, or RCS agent
    from_: str
    #: of the application; with private_key. This pair or api_key is needed
    application_id: str = ""
    #: the application's RSA key, PEM
    private_key: str = field(default="", repr=False)
    #: the account's key; with api_secret, or alone to check whom webhooks are about
    api_key: str = field(default="", repr=False)
    #: the account's secret, for requests without an application
    api_secret: str = field(default="", repr=False)
    #: signs webhooks; empty: reports are not asked for
    signature_secret: str = field(default="", repr=False)
    #: `sms` or `rcs`
    channel: Literal["sms", "rcs"] = "sms"
    #: `auto`, `text` (GSM alphabet) or `unicode`; SMS only
    encoding_type: Literal["auto", "text", "unicode"] = "auto"
    #: India: the sender's id of DLT; the text's is `template` of its provider_templates
    entity_id: str = ""
    #: origin of the API; default https://api.nexmo.com
    base_url: str = "https://api.nexmo.com"

    def __post_init__(self) -> None:
        faults = [] if self.from_ else ["from: is empty"]
        if bool(self.application_id) != bool(self.private_key):
            missing = "private_key" if self.application_id else "application_id"
            faults.append(f"{missing}: missing, application_id and private_key go together")
        if not self.private_key and not (self.api_key and self.api_secret):
            faults.append("application_id: missing, unless api_key and api_secret are set")
        if self.signature_secret and not self.application_id:
            faults.append("signature_secret: webhooks need application_id and private_key")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """One message a request."""

    name: ClassVar[str] = "vonage"
    batch_limit: ClassVar[int] = 1
    limits: ClassVar[str] = "1,000 characters"
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self.channel = wire.Channel(settings.channel)
        self.reports = _reports(settings)
        self._settings = settings
        self._clock = clock
        self._url = settings.base_url.rstrip("/") + "/v1/messages"
        self._secret = auth.to_bytes(settings.signature_secret)
        self._basic = auth.basic(settings.api_key, settings.api_secret)
        self._bearer = lru_cache(maxsize=1)(
            partial(_bearer, settings.application_id, _key(settings))
        )

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return sms_limits.objection(content, longest=LONGEST[self.channel])

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        headers = {"authorization": self._authorization(), "content-type": "application/json"}
        return [
            (
                (message,),
                wire.HttpRequest(
                    method="POST",
                    url=self._url,
                    headers=headers,
                    body=orjson.dumps(self._payload(message)),
                ),
            )
            for message in messages
        ]

    def _authorization(self) -> str:
        if not self._settings.private_key:
            return self._basic
        now = self._clock.now_ms() // 1000
        return self._bearer(now - now % TOKEN_USE)

    def _payload(self, message: wire.Message) -> dict[str, Any]:
        shortest, longest = TTL[self.channel]
        seconds = int(message.expires_at.timestamp() - self._clock.now_ms() / 1000)
        payload: dict[str, Any] = {
            "message_type": "text",
            "channel": self.channel,
            "to": message.to.phone.removeprefix("+"),
            "from": self._settings.from_,
            "text": message.content.text,
            "client_ref": message.reference,
            "ttl": min(max(seconds, shortest), longest),
        }
        if message.callback_url and self.reports:
            payload |= {"webhook_url": message.callback_url, "webhook_version": "v1"}
        if self.channel is wire.Channel.SMS:
            payload["sms"] = self._sms(message.content)
        return payload

    def _sms(self, content: wire.Content) -> dict[str, str]:
        """Options of SMS alone."""
        options: dict[str, str] = {"encoding_type": self._settings.encoding_type}
        if self._settings.entity_id:
            options["entity_id"] = self._settings.entity_id
        content_id = content.provider_templates.get(self.name, {}).get("template")
        if isinstance(content_id, str) and content_id:
            options["content_id"] = content_id
        return options

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [_result(response, now_ms=self._clock.now_ms())] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        claims = jwt.read_hs256(token, self._secret) if scheme.lower() == "bearer" else None
        if claims is None or not self._is_ours_and_recent(claims):
            return False
        offered = auth.to_bytes(_text(claims, "payload_hash").lower())
        return hmac.compare_digest(sha256(request.body).hexdigest().encode(), offered)

    def _is_ours_and_recent(self, claims: Mapping[str, Any]) -> bool:
        issued = claims.get("iat")
        if not isinstance(issued, int | float) or isinstance(issued, bool):
            return False
        if abs(issued * 1000 - self._clock.now_ms()) > auth.TOLERANCE * 1000:
            return False
        ours = {"application_id": self._settings.application_id, "api_key": self._settings.api_key}
        return all(claims.get(name, value) == value for name, value in ours.items() if value)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        report = _report(request)
        return [] if _is_inbound(report) else [_receipt(report)]

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        report = _report(request)
        return [_inbound(report)] if _is_inbound(report) else []

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=200)


def _reports(settings: Settings) -> frozenset[wire.ReceiptEvent]:
    if not settings.signature_secret:
        return frozenset()
    read = {wire.ReceiptEvent.READ} if settings.channel == "rcs" else set()
    return frozenset({wire.ReceiptEvent.DELIVERED, *read})


def _key(settings: Settings) -> rsa.RSAPrivateKey | None:
    try:
        return jwt.rsa_key(settings.private_key) if settings.private_key else None
    except ValueError as error:
        raise errors.SettingsError([f"private_key: is {error}"]) from None


def _bearer(application_id: str, key: rsa.RSAPrivateKey | None, issued: int) -> str:
    """Value of Authorization. The `jti` is made from the rest, as all of the token is."""
    assert key is not None  # asked for only when there is one
    seed = sha256(f"{application_id} {issued}".encode()).digest()
    claims = {
        "application_id": application_id,
        "iat": issued,
        "exp": issued + TOKEN_LIFETIME,
        "jti": str(UUID(bytes=seed[:16], version=4)),
    }
    return "Bearer " + jwt.sign_rs256(key, header={"alg": "RS256", "typ": "JWT"}, claims=claims)


def _result(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    answer = auth.json_object(response.body)
    if 200 <= response.status < 300:
        if uuid := _text(answer, "message_uuid"):
            return wire.Accepted(provider_id=uuid)
        return wire.Unknown(code=f"http_{response.status}", detail="answer without message_uuid")
    code = vonage_codes.read(answer)
    if response.status == 402:  # low balance
        return wire.Deferred(code=code or "http_402", cause=wire.Cause.CREDENTIAL)
    by_status = base.result_of_status(response, now_ms=now_ms)
    if isinstance(by_status, wire.Rejected) and code in vonage_codes.RESULTS:
        return vonage_codes.RESULTS[code]
    if isinstance(by_status, wire.Rejected) and response.status == 422:
        by_status = _invalid(answer)
    return replace(by_status, code=code) if code else by_status


def _invalid(answer: Mapping[str, Any]) -> wire.Rejected:
    """Names of what is wrong, without the reasons, which may repeat it."""
    rows = answer.get("invalid_parameters")
    given = [row.get("name") for row in _objects(rows)]
    names = [one for one in given if isinstance(one, str) and re.fullmatch(r"[a-z_.]{1,30}", one)]
    scope = _BLAME.get(names[0], wire.Scope.MESSAGE) if len(names) == 1 else wire.Scope.MESSAGE
    return wire.Rejected(code="http_422", detail=", ".join(names[:3]), scope=scope)


def _report(request: wire.HttpRequest) -> dict[str, Any]:
    report = auth.json_object(request.body)
    if not _text(report, "message_uuid"):
        raise errors.UnreadableReceipt("no id of a message")
    return report


def _is_inbound(report: Mapping[str, Any]) -> bool:
    """A status has `status`; what somebody wrote has not."""
    return "status" not in report and "from" in report


def _receipt(report: Mapping[str, Any]) -> wire.DeliveryReceipt:
    status, code = _text(report, "status"), vonage_codes.read(report.get("error"))
    if not status:
        raise errors.UnreadableReceipt("no status")
    known = vonage_codes.RESULTS.get(code)
    return wire.DeliveryReceipt(
        event=vonage_codes.event(status, code),
        provider_id=_text(report, "message_uuid"),
        reference=_text(report, "client_ref"),
        code=code or status[:30],
        detail=known.detail if known else "",
        at=_time(_text(report, "timestamp")),
        suppress=isinstance(known, wire.Rejected) and known.suppress,
    )


def _inbound(report: Mapping[str, Any]) -> wire.InboundMessage:
    sender = _text(report, "from")
    return wire.InboundMessage(
        sender=f"+{sender}" if re.fullmatch(r"[1-9]\d{6,14}", sender, re.ASCII) else sender,
        to=_text(report, "to"),
        text=_text(report, "text"),
        provider_id=_text(report, "message_uuid"),
        at=_time(_text(report, "timestamp")),
    )


def _time(value: str) -> datetime | None:
    """ISO 8601, in UTC where it does not say."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _text(table: Mapping[str, Any], name: str) -> str:
    value = table.get(name)
    return value if isinstance(value, str) else ""


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
