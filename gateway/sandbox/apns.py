"""Apple Push Notification service, as it looks from outside: HTTP/2 over TLS.

https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
A connection may have one request under way until one has proved who sends it, then a thousand.
There are no receipts. Magic tokens begin with one of `MAGIC`; `token_for` makes one of a reason.

What other simulators do to a connection is done to a stream here: an answer is lost by a reset.
"""

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Unpack

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.sandbox import apns_line, apns_rules, base, certificates, tls_context
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import ORDINARY, Fate, Magic

KEY_ID, TEAM_ID, BUNDLE_ID = "SANDBOX001", "SANDBOXTEA", "com.example.app"

#: Reasons that no fate stands for are told by their status.
_FATES: Mapping[str, Fate] = {
    "BadDeviceToken": Fate.RECIPIENT,
    "DeviceTokenNotForTopic": Fate.RECIPIENT,
    "Unregistered": Fate.RECIPIENT,
    "ExpiredToken": Fate.RECIPIENT,
    "IdleTimeout": Fate.TEMPORARY,
}
_BY_STATUS: Mapping[int, Fate] = {
    403: Fate.CREDENTIAL,
    429: Fate.THROTTLED,
    500: Fate.TEMPORARY,
    503: Fate.TEMPORARY,
}


def _fate(reason: str) -> Fate:
    by_status = _BY_STATUS.get(apns_rules.STATUSES[reason], Fate.PERMANENT)
    return _FATES.get(reason, by_status)


#: By the first nine digits of a device's token.
MAGIC: Mapping[str, Magic] = {
    f"badc0de{number:02x}": Magic(fate=_fate(reason), code=reason)
    for number, reason in enumerate(apns_rules.STATUSES)
} | {"badc0def0": Magic(fate=Fate.LOST), "badc0def1": Magic(fate=Fate.HUNG)}

#: What each fate is called unless the token says more precisely.
_REASONS: Mapping[Fate, str] = {
    Fate.TEMPORARY: "ServiceUnavailable",
    Fate.THROTTLED: "TooManyRequests",
    Fate.PERMANENT: "BadTopic",
    Fate.RECIPIENT: "Unregistered",
    Fate.CREDENTIAL: "InvalidProviderToken",
}


def token_for(reason: str) -> str:
    """A device's token to which the answer is this; `lost` and `hung` are reasons here, too."""
    named = {"lost": "badc0def0", "hung": "badc0def1"}
    prefix = named.get(reason) or next(key for key, one in MAGIC.items() if one.code == reason)
    return prefix.ljust(64, "0")


class ApnsSimulator(base.Simulator):
    """One team with one key and one app; keys and certificates are made when it is built."""

    kind: ClassVar[str] = "apns"
    scheme: ClassVar[str] = "https"

    def __init__(
        self,
        *,
        bundle_id: str = BUNDLE_ID,
        first_streams: int = 1,
        streams: int = 1000,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        """wall: seconds since the epoch, by which provider tokens are judged."""
        super().__init__(**options)
        self.bundle_id = bundle_id
        self.key_id, self.team_id = KEY_ID, TEAM_ID
        self.first_streams, self.streams = first_streams, streams
        self._wall = wall
        key = ec.generate_private_key(ec.SECP256R1())
        #: text of the `.p8` file
        self.private_key = certificates.pem(key)
        self._tokens = apns_rules.Tokens(key.public_key(), key_id=KEY_ID, team_id=TEAM_ID, now=wall)
        #: whom clients have to trust, and what they may prove themselves by, with its key
        self.authority, self._key = certificates.self_signed("sandbox", addresses=(base.HOST,))
        self.client_certificate = "".join(certificates.self_signed(bundle_id))
        self._lines: set[apns_line.Line] = set()

    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        self._tls = tls_context.server(
            self.authority + self._key, trusting=self.client_certificate, protocol="h2"
        )
        self._tls.verify_mode = ssl.CERT_OPTIONAL
        return lambda: apns_line.Line(self, self._lines)

    def _drop_connections(self) -> None:
        for line in tuple(self._lines):
            line.drop()

    async def answer(self, push: apns_rules.Push, *, by_certificate: bool) -> apns_line.Reply:
        """What becomes of a request, when it is due."""
        at = self.now()
        reason = "" if by_certificate else self._tokens.fault(push.headers.get("authorization", ""))
        proved = not reason
        reason = reason or apns_rules.fault(push, self.bundle_id)
        id = push.headers.get("apns-id") or str(uuid.uuid4())
        if reason:
            fate = Fate.INVALID
        else:
            magic = MAGIC.get(push.token[:9].lower(), ORDINARY)
            fate = self.judge.decide(magic)
            code = magic.code if fate is magic.fate else ""
            reason = code or _REASONS.get(fate, "")
        self._record(push, at=at, fate=fate, id=id, reason=reason)
        await self.pause()
        if fate is Fate.HUNG:
            await self.hang()
        if fate in (Fate.HUNG, Fate.LOST):
            return apns_line.Reply(status=0, headers={}, proved=proved)
        return self._reply(reason, id=id, proved=proved)

    def _reply(self, reason: str, *, id: str, proved: bool) -> apns_line.Reply:
        status = apns_rules.STATUSES[reason] if reason else 200
        body: dict[str, Any] = {"reason": reason} if reason else {}
        headers = {"apns-id": id}
        if status == 410:
            body["timestamp"] = int(self._wall() * 1000)
        if status in (429, 503):
            headers |= {k.lower(): v for k, v in base.retry_header(self.knobs).items()}
        return apns_line.Reply(
            status=status,
            headers=headers,
            body=orjson.dumps(body) if body else b"",
            proved=proved,
            goes_away=reason in ("Shutdown", "IdleTimeout"),
        )

    def _record(
        self, push: apns_rules.Push, *, at: float, fate: Fate, id: str, reason: str
    ) -> None:
        collapse_id = push.headers.get("apns-collapse-id", "")
        named = {k: v for k, v in push.headers.items() if k.startswith("apns-")}
        self.log.add(
            Arrival(
                at=at,
                id=id if fate in (Fate.TAKEN, Fate.LOST) else "",
                reference=find_reference(collapse_id),
                to=push.token,
                fate=fate,
                answer=reason or "200",
                content={"headers": named, "payload": apns_rules.payload(push.body)},
            )
        )
