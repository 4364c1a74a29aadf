"""Firebase Cloud Messaging, HTTP v1, with the token endpoint of its service account.

Send: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send. Errors:
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode. FCM reports nothing about single
messages, so there are no receipts.

Magic tokens (or `fid`) are those that begin with one of `MAGIC` and `-`.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.sandbox import base, control, fcm_rules, oauth
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import ORDINARY, Fate, Magic

MAGIC: Mapping[str, Magic] = {
    "unregistered": Magic(fate=Fate.RECIPIENT, code="UNREGISTERED"),
    "mismatch": Magic(fate=Fate.RECIPIENT, code="SENDER_ID_MISMATCH"),
    "malformed": Magic(fate=Fate.RECIPIENT, code="INVALID_ARGUMENT"),
    "apns": Magic(fate=Fate.CREDENTIAL, code="THIRD_PARTY_AUTH_ERROR"),
    "quota": Magic(fate=Fate.THROTTLED),
    "internal": Magic(fate=Fate.TEMPORARY, code="INTERNAL"),
    "unavailable": Magic(fate=Fate.TEMPORARY, code="UNAVAILABLE"),
    "rejected": Magic(fate=Fate.PERMANENT),
    "lost": Magic(fate=Fate.LOST),
    "silent": Magic(fate=Fate.HUNG),
}

#: What each fate is called unless the token says more precisely.
_CODES: Mapping[Fate, str] = {
    Fate.TEMPORARY: "UNAVAILABLE",
    Fate.THROTTLED: "QUOTA_EXCEEDED",
    Fate.PERMANENT: fcm_rules.BAD_FIELD,
    Fate.RECIPIENT: "UNREGISTERED",
    Fate.CREDENTIAL: fcm_rules.BAD_TOKEN,
}

#: The scopes of which a token needs one.
SCOPES = frozenset(
    {
        "https://www.googleapis.com/auth/firebase.messaging",
        "https://www.googleapis.com/auth/cloud-platform",
    }
)


class FcmSimulator(base.HttpSimulator):
    """One Firebase project and its service account, with a key made at the start."""

    kind: ClassVar[str] = "fcm"

    def __init__(
        self,
        *,
        project_id: str = "sandbox",
        token_lifetime: float = 3599,
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self.project_id = project_id
        #: access tokens given so far, and the switch that ends them early
        self.tokens = oauth.Tokens(lifetime=token_lifetime, now=self.now)

    def service_account(self) -> dict[str, str]:
        """The key file, as Google's console would give it. Known once it is entered."""
        return self._account.key_file(self.project_id)

    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        # Known only when the port is bound, so it is read at each request.
        self._account = await asyncio.to_thread(
            oauth.ServiceAccount, token_uri=lambda: f"{self.url}/token", scopes=SCOPES
        )
        return await super()._start(stack)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/token", self._token),
            web.post("/v1/projects/{project}/messages:send", self._send),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        error = self.knobs.token_error
        if error:
            status = 400 if error.startswith("invalid_") else 503
            return _token_error(error, "as the sandbox was told", status=status)
        fault = self._account.fault(str(form.get("grant_type")), str(form.get("assertion")))
        if fault is not None:
            return _token_error(fault[0], fault[1], status=400)
        value = self.tokens.issue()
        return control.json_response(
            {
                "access_token": value,
                "expires_in": int(self.tokens.lifetime),
                "token_type": "Bearer",
            }
        )

    async def _send(self, request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.tokens.valid(token):
            return self._error(fcm_rules.BAD_TOKEN)
        if request.match_info["project"] != self.project_id:
            return self._error(fcm_rules.NO_PROJECT)
        body, at = await request.read(), self.now()
        found = fcm_rules.fault(body)
        if found is not None:
            self._record(body, {}, at=at, fate=Fate.INVALID, answer="400")
            return self._error(fcm_rules.BAD_FIELD, violation=found)
        value = orjson.loads(body)
        message = value["message"]
        magic = magic_of(message)
        validate_only = fcm_rules.either(value, "validate_only") is True
        fate = Fate.TAKEN if validate_only else self.judge.decide(magic)
        if fate in (Fate.TAKEN, Fate.LOST, Fate.HUNG):
            id = f"projects/{self.project_id}/messages/{uuid.uuid4()}"
            if not validate_only:
                self._record(body, message, at=at, fate=fate, answer="200", id=id)
            return await self.conclude(request, fate, control.json_response({"name": id}))
        code = magic.code if fate is magic.fate and magic.code else _CODES[fate]
        self._record(body, message, at=at, fate=fate, answer=code)
        return await self.conclude(request, fate, self._error(code))

    def _record(
        self,
        body: bytes,
        message: Mapping[str, Any],
        *,
        at: float,
        fate: Fate,
        answer: str,
        id: str = "",
    ) -> None:
        self.log.add(
            Arrival(
                at=at,
                id="" if fate is Fate.HUNG else id,
                reference=find_reference(body.decode("utf-8", "replace")),
                to=fcm_rules.target(message),
                fate=fate,
                answer=answer,
                content=message,
            )
        )

    def _error(self, code: str, *, violation: fcm_rules.Violation | None = None) -> web.Response:
        status, value = fcm_rules.envelope(code, violation)
        answer = control.json_response(value, status=status)
        if status in (429, 503):
            answer.headers.update(base.retry_header(self.knobs))
        return answer


def magic_of(message: Mapping[str, Any]) -> Magic:
    """What the message's target does."""
    return MAGIC.get(fcm_rules.target(message).partition("-")[0], ORDINARY)


def _token_error(error: str, description: str, *, status: int) -> web.Response:
    return control.json_response({"error": error, "error_description": description}, status=status)
