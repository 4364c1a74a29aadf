"""Feishu and Lark (飞书): an application's bot, which writes to members and to groups.

Token: https://open.feishu.cn/document/server-docs/authentication-management/access-token/tenant_access_token_internal
Send: https://open.feishu.cn/document/server-docs/im-v1/message/create
Events: https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/request-url-configuration-case
and https://open.feishu.cn/document/server-docs/im-v1/message/events/message_read

`to.chat` is an id: `ou_…` of a member, `on_…` of one over all applications, `oc_…` of a group, an
address of mail, otherwise a user_id. A second copy is known by its `uuid`, our reference, for an
hour. What the content's table `feishu_app` holds (`msg_type` with `content`, or `card`) is sent in
place of the text; `card` in the content makes one of its texts. Lark is the same with `base_url = "https://open.larksuite.com"`.
"""

import hmac
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar

import orjson
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, chat, chat_cards, errcodes, mail_api, mainland

#: Bytes of a text; of a card it is less.
MAX_BODY = 150 * 1024
#: Seconds before its end at which the vendor's own clients renew a token.
_EARLY = 600
_CREDENTIAL, _RECIPIENT = wire.Cause.CREDENTIAL, wire.Scope.RECIPIENT
_GROUPS: errcodes.Groups = (
    (
        wire.Deferred(code=errcodes.TOKEN_REFUSED, cause=_CREDENTIAL),
        frozenset({99991661, 99991663, 99991664}),
    ),
    (
        wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED),
        frozenset({99991400}),
    ),
    (
        wire.Rejected(code="", detail="bot not in the chat", scope=_RECIPIENT, suppress=True),
        frozenset({230002}),
    ),
    (
        wire.Rejected(code="", detail="not available to them", scope=_RECIPIENT, suppress=True),
        frozenset({230013}),
    ),
    (wire.Rejected(code="", detail="request refused"), frozenset({230001, 230025})),
)
RESULTS = errcodes.table_of(_GROUPS)
READ_EVENT = "im.message.message_read_v1"
_ID_TYPES = {"ou_": "open_id", "on_": "union_id", "oc_": "chat_id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "feishu_app"`."""

    #: App ID, `cli_…`
    app_id: str
    #: App Secret
    app_secret: str = field(repr=False)
    #: Verification Token of its events; with encrypt_key
    verification_token: str = field(default="", repr=False)
    #: Encrypt Key of its events, which also signs them; default: none, and nothing is believed
    encrypt_key: str = field(default="", repr=False)
    #: origin of the API; default https://open.feishu.cn
    base_url: str = "https://open.feishu.cn"

    def __post_init__(self) -> None:
        faults = [
            f"{name}: is empty" for name in ("app_id", "app_secret") if not getattr(self, name)
        ]
        if bool(self.encrypt_key) != bool(self.verification_token):
            faults.append("encrypt_key: goes with a verification_token, and it with a key")
        errcodes.check(faults)


class Credential(base.Credential):
    """Tokens for the application's id and secret."""

    def __init__(self, origin: str, settings: Settings, clock: Clock) -> None:
        ids = {"app_id": settings.app_id, "app_secret": settings.app_secret}
        url = f"{origin}/open-apis/auth/v3/tenant_access_token/internal"
        self._request = chat.post(url, ids)
        self._clock = clock

    def token_request(self) -> wire.HttpRequest:
        return self._request

    def read_token(self, response: wire.HttpResponse) -> wire.Token | wire.Deferred:
        answer, detail = auth.json_object(response.body), "no access token"
        token, seconds = answer.get("tenant_access_token"), errcodes.code_of(answer, "expire")
        code = errcodes.code_of(answer, "code")
        if code == 0 and isinstance(token, str) and token and seconds is not None and seconds > 0:
            return wire.Token(value=token, expires_in=float(max(seconds - _EARLY, seconds // 2)))
        result = errcodes.refusal(code or None, response, RESULTS, now_ms=self._clock.now_ms())
        if isinstance(result, wire.Deferred):
            return replace(result, detail=detail)
        if isinstance(result, wire.Rejected):
            return wire.Deferred(code=result.code, detail=detail, cause=_CREDENTIAL)
        return wire.Deferred(code="unreadable_token", detail=detail)

    def authorise(self, request: wire.HttpRequest, token: str) -> wire.HttpRequest:
        return replace(request, headers={**request.headers, "authorization": f"Bearer {token}"})


class Provider(chat.Silent):
    """One message a call."""

    name: ClassVar[str] = "feishu_app"

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._settings = settings
        origin = settings.base_url.rstrip("/")
        self._url = f"{origin}/open-apis/im/v1/messages?receive_id_type="
        self._key = sha256(auth.to_bytes(settings.encrypt_key)).digest()
        self.reports = frozenset({wire.ReceiptEvent.READ} if settings.encrypt_key else ())
        self.credential = Credential(origin, settings, clock)

    def request(self, message: wire.Message) -> wire.HttpRequest:
        kind, content = self._said(message.content)
        body = {
            "receive_id": message.to.chat,
            "msg_type": kind,
            "content": content,
            "uuid": message.reference,
        }
        return chat.post(self._url + _id_type(message.to.chat), body)

    def _said(self, content: wire.Content) -> tuple[str, str]:
        """(msg_type, content), the latter JSON in a text."""
        kind, given = self._given(content)
        written = orjson.dumps(given, option=orjson.OPT_NON_STR_KEYS).decode()
        if len(written.encode()) > MAX_BODY:
            raise chat.TooLong(f"text: longer than {MAX_BODY} bytes")
        return kind, written

    def _given(self, content: wire.Content) -> tuple[str, Mapping[str, Any]]:
        own = chat.own(content, self.name)
        if isinstance(card := own.get("card"), Mapping):
            return "interactive", card
        if own:
            kind, given = own.get("msg_type"), own.get("content")
            if not isinstance(kind, str) or not isinstance(given, Mapping):
                raise ValueError("feishu_app: neither a card nor a msg_type with its content")
            return kind, given
        if (asked := chat_cards.asked(content)) is not None:
            card = chat_cards.feishu(asked)["card"]
            return "interactive", card
        text = mail_api.clean(chat.plain(content, max_bytes=MAX_BODY))
        # a mention is `<at user_id="all">`
        return "text", {"text": text.replace("<at ", "< at ")}

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        answer = auth.json_object(response.body)
        code = errcodes.code_of(answer, "code")
        if code == 0 and 200 <= response.status < 300:
            data = mail_api.table_of(answer, "data")
            return wire.Accepted(provider_id=mail_api.text_of(data, "message_id"))
        return errcodes.refusal(code or None, response, RESULTS, now_ms=self._clock.now_ms())

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        """Whether it is encrypted with our key, names our token and, but for the proof of our
        address, is signed just now."""
        if not self._settings.encrypt_key or not (event := self._open(request)):
            return False
        mine = auth.to_bytes(self._settings.verification_token)
        header = mail_api.table_of(event, "header")
        offered = mail_api.text_of(event, "token") or mail_api.text_of(header, "token")
        if not hmac.compare_digest(mine, auth.to_bytes(offered)):
            return False
        return event.get("type") == "url_verification" or self._is_signed(request)

    def _is_signed(self, request: wire.HttpRequest) -> bool:
        headers = request.headers
        timestamp = headers.get("x-lark-request-timestamp", "")
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
            return False
        if abs(int(timestamp) * 1000 - self._clock.now_ms()) > auth.TOLERANCE * 1000:
            return False
        signed = timestamp + headers.get("x-lark-request-nonce", "") + self._settings.encrypt_key
        expected = sha256(auth.to_bytes(signed) + request.body).hexdigest()
        offered = auth.to_bytes(headers.get("x-lark-signature", ""))
        return hmac.compare_digest(expected.encode(), offered)

    def _open(self, request: wire.HttpRequest) -> Mapping[str, Any]:
        """The event that is encrypted in a request; empty when there is none."""
        sealed = mail_api.text_of(auth.json_object(request.body), "encrypt")
        try:
            return auth.json_object(decrypt(self._key, sealed))
        except ValueError:
            return {}

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        event = self._open(request)
        if not event:
            raise errors.UnreadableReceipt("not encrypted for this account")
        if mail_api.text_of(mail_api.table_of(event, "header"), "event_type") != READ_EVENT:
            return []
        told = mail_api.table_of(event, "event")
        ids, reader = told.get("message_id_list"), mail_api.table_of(told, "reader")
        read_ms = mainland.text_of(reader, "read_time")[:15]
        at = mail_api.moment(int(read_ms) / 1000) if read_ms.isdecimal() else None
        return [
            wire.DeliveryReceipt(event=wire.ReceiptEvent.READ, provider_id=id, at=at)
            for id in (ids if isinstance(ids, list) else [])
            if isinstance(id, str) and id
        ]

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        event = self._open(request)
        answer = {"msg": "success"}
        if event.get("type") == "url_verification":
            answer = {"challenge": mail_api.text_of(event, "challenge")[:512]}
        headers = {"content-type": "application/json"}
        return wire.HttpResponse(status=200, headers=headers, body=orjson.dumps(answer))


def _id_type(address: str) -> str:
    return "email" if "@" in address else _ID_TYPES.get(address[:3], "user_id")


def decrypt(key: bytes, sealed: str) -> bytes:
    """AES-256-CBC, whose first block is the initial one. Raises ValueError."""
    try:
        data = b64decode(auth.to_bytes(sealed), validate=True)
    except NotBase64:
        raise ValueError("not base64") from None
    if len(data) < 32 or len(data) % 16:
        raise ValueError("not whole blocks")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(data[:16])).decryptor()
    plain = decryptor.update(data[16:]) + decryptor.finalize()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(plain) + unpadder.finalize()
