"""Google's RCS for Business, as it looks from outside, with the token endpoint of its account.

Send: https://developers.google.com/business-communications/rcs-business-messaging/reference/rest/v1/phones.agentMessages/create
Events: https://developers.google.com/business-communications/rcs-business-messaging/guides/build/events/receive-events

A message whose id came before is answered as the first was, and not sent again. Magic numbers:
those of `magic.PHONES`, and NO_RCS, which takes SMS. Phones that cannot be reached have no RCS.
"""

import asyncio
import base64
import hashlib
import hmac
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, oauth, rcs_google_rules, reports
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import ORDINARY, PHONES, Fate, Magic

#: What it is built with unless told otherwise; no real account has them.
AGENT_ID, CLIENT_TOKEN = "sandbox-agent", "sandbox-client-token"
SCOPES = frozenset({"https://www.googleapis.com/auth/rcsbusinessmessaging"})
FEATURES = ("REVOCATION", "RICHCARD_STANDALONE", "ACTION_OPEN_URL", "ACTION_DIAL")
#: A phone that has no RCS, and nothing else the matter.
NO_RCS = "+15005550020"
#: Ids of messages that are remembered.
_MOST = 10_000
_ERRORS: Mapping[Fate, tuple[int, str]] = {
    Fate.TEMPORARY: (503, "UNAVAILABLE"),
    Fate.THROTTLED: (429, "RESOURCE_EXHAUSTED"),
    Fate.PERMANENT: (400, "INVALID_ARGUMENT"),
    Fate.RECIPIENT: (404, "NOT_FOUND"),
    Fate.CREDENTIAL: (403, "PERMISSION_DENIED"),
}
#: eventType by what a report is to tell, those before it first.
_EVENTS: Mapping[wire.ReceiptEvent, Sequence[str]] = {
    wire.ReceiptEvent.DELIVERED: ["DELIVERED"],
    wire.ReceiptEvent.READ: ["DELIVERED", "READ"],
    wire.ReceiptEvent.EXPIRED: ["TTL_EXPIRATION_REVOKED"],
    wire.ReceiptEvent.FAILED: ["TTL_EXPIRATION_REVOKED"],
    wire.ReceiptEvent.OPTED_OUT: ["UNSUBSCRIBE"],
    wire.ReceiptEvent.UNKNOWN: ["SANDBOX_UNHEARD_OF"],
}
#: It goes on for days; so many are enough here.
_RETRIES = 5


class RcsGoogleSimulator(base.HttpSimulator):
    """One agent and its service account, with a key made at the start."""

    kind: ClassVar[str] = "rcs_google"

    def __init__(
        self,
        *,
        agent_id: str = AGENT_ID,
        client_token: str = CLIENT_TOKEN,
        features: Sequence[str] = FEATURES,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        """features: what all phones can do that have RCS."""
        super().__init__(**options)
        self.agent_id = agent_id
        self.features = features
        self.tokens = oauth.Tokens(lifetime=3599, now=self.now)
        #: how often it was asked what a phone can do
        self.asked = 0
        self._client_token = client_token.encode()
        self._wall = wall
        self._seen: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def service_account(self) -> dict[str, str]:
        """The key file, as Google's console would give it. Known once it is entered."""
        return self._account.key_file("sandbox")

    def write(self, phone: str, **fields: Any) -> None:
        """Bring what somebody did, such as `text` or `eventType`, if there is where to."""
        id = {} if "eventType" in fields else {"messageId": str(uuid.uuid4())}
        self._post(0, {"senderPhoneNumber": phone, **id, **fields})

    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        # Known only when the port is bound, so it is read at each request.
        self._account = await asyncio.to_thread(
            oauth.ServiceAccount, token_uri=lambda: f"{self.url}/token", scopes=SCOPES
        )
        return await super()._start(stack)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/token", self._token),
            web.post("/v1/phones/{phone}/agentMessages", self._send),
            web.get("/v1/phones/{phone}/capabilities", self._capabilities),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        fault = self._account.fault(str(form.get("grant_type")), str(form.get("assertion")))
        if fault is not None:
            error = {"error": fault[0], "error_description": fault[1]}
            return control.json_response(error, status=400)
        lifetime = int(self.tokens.lifetime)
        token = {"access_token": self.tokens.issue(), "expires_in": lifetime}
        return control.json_response({**token, "token_type": "Bearer"})

    def _fault(self, request: web.Request) -> tuple[int, str, str] | None:
        """Who may not do this; None for whoever may."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.tokens.valid(token):
            return 401, "UNAUTHENTICATED", "Request had invalid authentication credentials."
        if request.query.get("agentId") != self.agent_id:
            return 403, "PERMISSION_DENIED", "The caller does not have permission."
        if not rcs_google_rules.is_phone(request.match_info["phone"]):
            return 400, "INVALID_ARGUMENT", "Invalid phone number."
        return None

    async def _capabilities(self, request: web.Request) -> web.Response:
        fault = self._fault(request)
        if fault is None and not rcs_google_rules.is_id(request.query.get("requestId", "")):
            fault = 400, "INVALID_ARGUMENT", "requestId must be a UUID."
        if fault is not None:
            return _error(*fault)
        self.asked += 1
        await self.pause()
        if _magic(request.match_info["phone"]).fate is Fate.RECIPIENT:
            return _error(404, "NOT_FOUND", "Requested entity was not found.")
        return control.json_response({"features": list(self.features)})

    async def _send(self, request: web.Request) -> web.StreamResponse:
        body, at, phone = await request.read(), self.now(), request.match_info["phone"]
        id = request.query.get("messageId", "")
        fault = self._fault(request)
        if fault is None and (words := rcs_google_rules.fault(id, body, self.features)):
            fault = 400, "INVALID_ARGUMENT", words
        if fault is not None:
            self.log.add(Arrival(at=at, to=phone, fate=Fate.INVALID, answer=fault[1]))
            return _error(*fault)
        if id in self._seen:
            return control.json_response(self._seen[id])
        magic, said = _magic(phone), orjson.loads(body)["contentMessage"]
        fate = self.judge.decide(magic)
        taken = fate in (Fate.TAKEN, Fate.LOST)
        status, word = (200, "OK") if taken else _ERRORS.get(fate, (200, "OK"))
        self.log.add(
            Arrival(at=at, id=id if taken else "", to=phone, fate=fate, answer=word, content=said)
        )
        if status != 200:
            answer = _error(status, word, "as the sandbox was told")
            if status in (429, 503):
                answer.headers.update(base.retry_header(self.knobs))
            return await self.conclude(request, fate, answer)
        told = {"name": f"phones/{phone}/agentMessages/{id}", "contentMessage": said}
        told["sendTime"] = self._time()
        if taken:
            self._seen[id] = told
            if len(self._seen) > _MOST:
                self._seen.popitem(last=False)
            self._report(phone, id)
        return await self.conclude(request, fate, control.json_response(told))

    def _report(self, phone: str, id: str) -> None:
        event = self.judge.receipt(_magic(phone))
        delay = self.judge.receipt_delay()
        for kind in _EVENTS.get(event, ()) if event else ():
            if kind == "UNSUBSCRIBE":
                self._post(delay, {"senderPhoneNumber": phone, "eventType": kind})
                continue
            who = "phoneNumber" if kind.startswith("TTL") else "senderPhoneNumber"
            self._post(delay, {who: phone, "eventType": kind, "messageId": id})

    def _post(self, delay: float, event: Mapping[str, Any]) -> None:
        if not self.knobs.receipt_url:
            return
        whole = {
            "agentId": self.agent_id,
            **event,
            "eventId": str(uuid.uuid4()),
            "sendTime": self._time(),
        }
        data = orjson.dumps(whole)
        digest = hmac.new(self._client_token, data, hashlib.sha512).digest()
        message = {"data": base64.b64encode(data).decode(), "messageId": str(uuid.uuid4())}

        def build() -> wire.HttpRequest:
            return wire.HttpRequest(
                method="POST",
                url=self.knobs.receipt_url,
                headers={
                    "Content-Type": "application/json",
                    "X-Goog-Signature": base64.b64encode(digest).decode(),
                },
                body=orjson.dumps({"message": message, "subscription": "sandbox"}),
            )

        report = reports.Report(
            build=build, retries=_RETRIES, retry_delay=lambda: self.knobs.receipt_retry_delay
        )
        for _ in range(1 + self.knobs.receipt_repeats):
            self.reporter.schedule(delay, report)

    def _time(self) -> str:
        at = datetime.fromtimestamp(self._wall(), UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _magic(phone: str) -> Magic:
    return Magic(fate=Fate.RECIPIENT) if phone == NO_RCS else PHONES.get(phone, ORDINARY)


def _error(status: int, state: str, message: str) -> web.Response:
    error = {"code": status, "message": message, "status": state}
    return control.json_response({"error": error}, status=status)
