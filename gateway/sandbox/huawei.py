"""Huawei Push Kit, API v1, with its token endpoint, as it looks from outside.

Send: https://developer.huawei.com/consumer/en/doc/HMSCore-References/https-send-api-0000001050986197
Receipts: https://developer.huawei.com/consumer/en/doc/HMSCore-Guides/msg-receipt-guide-0000001050040176

Magic tokens are those of `devices`; of them `gone-…` is refused alone, by `noRight`, and what
begins with a blank is no token, by `tokenFormatError`.
"""

import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, devices, huawei_rules, oauth, reports
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import Fate

#: What it is built with unless told otherwise; no real account has them.
APP_ID = "100000001"
APP_SECRET = "sandbox-app-secret"
CALLBACK_USER = "sandbox"
CALLBACK_KEY = "sandbox-callback-key"

#: (HTTP status, code) of a whole call.
_ERRORS: Mapping[Fate, tuple[int, str]] = {
    Fate.HUNG: (200, "80000000"),
    Fate.CREDENTIAL: (200, "80300002"),
    Fate.TEMPORARY: (500, "81000001"),
    Fate.THROTTLED: (503, ""),
    Fate.PERMANENT: (200, "80100016"),
}
#: By what a receipt is to tell; what no receipt tells is left out.
_STATUSES: Mapping[wire.ReceiptEvent, int] = {
    wire.ReceiptEvent.SENT: 27,
    wire.ReceiptEvent.DELIVERED: 0,
    wire.ReceiptEvent.READ: 0,
    wire.ReceiptEvent.FAILED: 10,
    wire.ReceiptEvent.EXPIRED: 15,
    wire.ReceiptEvent.OPTED_OUT: 6,
    wire.ReceiptEvent.BOUNCED: 2,
    wire.ReceiptEvent.COMPLAINED: 201,
    wire.ReceiptEvent.UNKNOWN: 256,
}
#: Entries of a post, and how often it comes again, which is not documented.
_STATUS_LIMIT, _RETRIES = 100, 3


class HuaweiSimulator(base.HttpSimulator):
    """One app and its receipt configuration."""

    kind: ClassVar[str] = "huawei"

    def __init__(
        self,
        *,
        app_id: str = APP_ID,
        app_secret: str = APP_SECRET,
        callback_user: str = CALLBACK_USER,
        callback_key: str = CALLBACK_KEY,
        token_lifetime: float = 3600,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        """wall: seconds since the epoch, by which receipts are dated."""
        super().__init__(**options)
        self.app_id = app_id
        self._secret = app_secret
        self._user, self._key = callback_user, callback_key
        #: access tokens given so far, and the switch that ends them early
        self.tokens = oauth.Tokens(lifetime=token_lifetime, now=self.now)
        self._wall = wall

    @property
    def token_uri(self) -> str:
        return f"{self.url}/oauth2/v3/token"

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/oauth2/{version:v[23]}/token", self._token),
            web.post("/v1/{app}/messages:send", self._send),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = {name: str(form.get(name)) for name in ("client_id", "client_secret")}
        if self.knobs.token_error:
            return _token_error(self.knobs.token_error)
        if form.get("grant_type") != "client_credentials":
            return _token_error("unsupported_grant_type")
        if given != {"client_id": self.app_id, "client_secret": self._secret}:
            return _token_error("invalid_client")
        answer = {
            "access_token": self.tokens.issue(),
            "expires_in": int(self.tokens.lifetime),
            "token_type": "Bearer",
        }
        # Its slashes are escaped, which only a real reader of JSON undoes.
        body = orjson.dumps(answer).replace(b"/", b"\\/")
        return web.Response(body=body, content_type="application/json")

    async def _send(self, request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not self.tokens.valid(token):
            return _answer("80200003" if token else "80200001", status=401)
        if request.match_info["app"] != self.app_id:
            return _answer("", status=404)
        body, at = await request.read(), self.now()
        found = huawei_rules.read(body)
        if isinstance(found, str):
            self.log.add(Arrival(at=at, fate=Fate.INVALID, answer=found))
            return _answer(found)
        if found.get("validate_only") is True:
            return _answer(huawei_rules.SUCCESS, id=_id())
        message: Mapping[str, Any] = found["message"]
        tokens = message["token"]
        whole, fates = devices.fate_of_call(self.judge, tokens)
        if whole not in (Fate.TAKEN, Fate.LOST):
            status, code = _ERRORS[whole]
            self._record(message, fates, at=at, answer=code or str(status))
            answer = _answer(code, status=status, retry=base.retry_header(self.knobs))
            return await self.conclude(request, whole, answer)
        return await self.conclude(request, whole, self._take(message, fates, at=at))

    def _take(
        self, message: Mapping[str, Any], fates: Sequence[Fate], *, at: float
    ) -> web.Response:
        tokens = message["token"]
        malformed = [one for one in tokens if not huawei_rules.is_token(one)]
        refused = [
            one
            for one, fate in zip(tokens, fates, strict=True)
            if fate is Fate.RECIPIENT and one not in malformed
        ]
        fates = [
            Fate.RECIPIENT if one in malformed else fate
            for one, fate in zip(tokens, fates, strict=True)
        ]
        good = [one for one in tokens if one not in malformed and one not in refused]
        call = _id() if good else ""
        code = huawei_rules.verdict(good, [*malformed, *refused])
        self._record(message, fates, at=at, answer=code, id=call)
        self._report(call, good, message.get("android", {}).get("bi_tag", ""))
        illegal = {"tokenFormatError": malformed, "noRight": refused}
        told = {
            "success": len(good),
            "failure": len(tokens) - len(good),
            "illegalTokens": {name: rows for name, rows in illegal.items() if rows},
        }
        partial = code == huawei_rules.PARTIAL
        return _answer(code, id=call, text=orjson.dumps(told).decode() if partial else "")

    def _record(
        self,
        message: Mapping[str, Any],
        fates: Sequence[Fate],
        *,
        at: float,
        answer: str,
        id: str = "",
    ) -> None:
        content = {name: value for name, value in message.items() if name != "token"}
        reference = find_reference(str(message.get("android", {}).get("bi_tag", "")))
        for to, fate in zip(message["token"], fates, strict=True):
            taken = fate in (Fate.TAKEN, Fate.LOST)
            arrival = Arrival(
                at=at,
                id=id if taken else "",
                reference=reference,
                to=to,
                fate=fate,
                answer=answer,
                content=content,
            )
            self.log.add(arrival)

    def _report(self, call: str, tokens: Sequence[str], tag: str) -> None:
        events = [(one, self.judge.receipt(devices.magic_of(one))) for one in tokens]
        told = [(one, _STATUSES[event]) for one, event in events if event and event in _STATUSES]
        if not self.knobs.receipt_url:
            return
        for start in range(0, len(told), _STATUS_LIMIT):
            rows = told[start : start + _STATUS_LIMIT]
            report = reports.Report(
                build=lambda rows=rows: self._receipt(call, rows, tag),  # type: ignore[misc]
                retries=_RETRIES,
                retry_delay=lambda: self.knobs.receipt_retry_delay,
            )
            delay = self.judge.receipt_delay()
            for _ in range(1 + self.knobs.receipt_repeats):
                self.reporter.schedule(delay, report)

    def _receipt(self, call: str, rows: Sequence[tuple[str, int]], tag: str) -> wire.HttpRequest:
        now = str(int(self._wall() * 1000))
        statuses = [
            {
                "biTag": tag,
                "appid": self.app_id,
                "token": token,
                "status": status,
                "timestamp": int(now),
                "requestId": call,
            }
            for token, status in rows
        ]
        headers = {
            "Content-Type": "application/json",
            "X-HUAWEI-CALLBACK-ID": callback_id(
                self._key, timestamp=now, nonce=str(uuid.uuid4()), user=self._user
            ),
        }
        body = orjson.dumps({"statuses": statuses})
        return wire.HttpRequest(
            method="POST", url=self.knobs.receipt_url, headers=headers, body=body
        )


def callback_id(key: str, *, timestamp: str, nonce: str, user: str) -> str:
    """Value of the header by which a receipt is believed."""
    mac = hmac.new(key.encode(), f"{timestamp}{nonce}{user}".encode(), hashlib.sha256)
    value = base64.b64encode(mac.digest()).decode()
    return f"timestamp={timestamp}; nonce={nonce}; value={value}"


def _id() -> str:
    return f"{uuid.uuid4().int % 10**24:024d}"


def _answer(
    code: str, *, status: int = 200, id: str = "", text: str = "", retry: Mapping[str, str] = {}
) -> web.Response:
    if not code:
        return web.Response(status=status, text="<html>no</html>", headers=dict(retry))
    text = text or huawei_rules.TEXTS.get(code, "")
    value = {"code": code, "msg": text, "requestId": id or _id()}
    return control.json_response(value, status=status)


def _token_error(error: str) -> web.Response:
    """Huawei's own codes are numbers; the words are those of OAuth."""
    status = 400 if error.startswith(("invalid_", "unsupported_")) else 503
    value = {"error": 1101, "sub_error": 20001, "error_description": error}
    return control.json_response(value, status=status)
