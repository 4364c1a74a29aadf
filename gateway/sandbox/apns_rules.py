"""What APNs checks in a request, and how it refuses.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.sandbox import es256

#: Status of each reason.
STATUSES: Mapping[str, int] = {
    "BadCollapseId": 400,
    "BadDeviceToken": 400,
    "BadExpirationDate": 400,
    "BadMessageId": 400,
    "BadPriority": 400,
    "BadTopic": 400,
    "DeviceTokenNotForTopic": 400,
    "DuplicateHeaders": 400,
    "IdleTimeout": 400,
    "InvalidPushType": 400,
    "MissingDeviceToken": 400,
    "MissingTopic": 400,
    "PayloadEmpty": 400,
    "TopicDisallowed": 400,
    "BadCertificate": 403,
    "BadCertificateEnvironment": 403,
    "BadEnvironmentKeyIdInToken": 403,
    "ExpiredProviderToken": 403,
    "Forbidden": 403,
    "InvalidProviderToken": 403,
    "MissingProviderToken": 403,
    "UnrelatedKeyIdInToken": 403,
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "ExpiredToken": 410,
    "Unregistered": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
}

_TYPES = frozenset(
    {
        "alert",
        "background",
        "location",
        "voip",
        "complication",
        "fileprovider",
        "mdm",
        "liveactivity",
        "pushtotalk",
        "widgets",
    }
)
_SUFFIXES = frozenset(
    {
        "",
        ".voip",
        ".complication",
        ".pushkit.fileprovider",
        ".location-query",
        ".push-type.liveactivity",
        ".voip-ptt",
    }
)
_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){1,100}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Seconds: a provider token's longest life, and the least between two.
LONGEST, SHORTEST = 3600, 1200
#: Seconds by which a token may come from the future.
_LENIENCY = 60


class Push(NamedTuple):
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    repeated: bool
    body: bytes

    @property
    def token(self) -> str:
        return self.path.removeprefix("/3/device/")


Check: TypeAlias = Callable[[Push, str], str]


def fault(push: Push, bundle_id: str) -> str:
    """The reason to refuse it, whoever sent it; empty when there is none."""
    return next((found for check in _CHECKS if (found := check(push, bundle_id))), "")


def _target(push: Push, bundle_id: str) -> str:
    if not push.path.startswith("/3/device/"):
        return "BadPath"
    if push.method != "POST":
        return "MethodNotAllowed"
    if not push.token:
        return "MissingDeviceToken"
    return "" if _TOKEN.fullmatch(push.token) else "BadDeviceToken"


def _topic(push: Push, bundle_id: str) -> str:
    topic = push.headers.get("apns-topic", "")
    if not topic:
        return "MissingTopic"
    if not topic.startswith(bundle_id):
        return "TopicDisallowed"
    return "" if topic[len(bundle_id) :] in _SUFFIXES else "BadTopic"


def _manner(push: Push, bundle_id: str) -> str:
    headers = push.headers
    kind, priority = headers.get("apns-push-type", "alert"), headers.get("apns-priority", "10")
    if push.repeated:
        return "DuplicateHeaders"
    if kind not in _TYPES:
        return "InvalidPushType"
    if priority not in ("10", "5", "1") or (kind == "background" and priority == "10"):
        return "BadPriority"
    if not re.fullmatch(r"\d{1,12}", headers.get("apns-expiration", "0")):
        return "BadExpirationDate"
    if len(headers.get("apns-collapse-id", "").encode()) > 64:
        return "BadCollapseId"
    id = headers.get("apns-id")
    return "" if id is None or _UUID.fullmatch(id) else "BadMessageId"


def _payload(push: Push, bundle_id: str) -> str:
    limit = 5120 if push.headers.get("apns-push-type") == "voip" else 4096
    if len(push.body) > limit:
        return "PayloadTooLarge"
    return "" if payload(push.body) else "PayloadEmpty"


_CHECKS: Sequence[Check] = (_target, _topic, _manner, _payload)


def payload(body: bytes) -> Mapping[str, Any]:
    """The JSON object; empty when it is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


class Tokens:
    """Judges provider tokens of one team with one key."""

    def __init__(
        self, key: ec.EllipticCurvePublicKey, *, key_id: str, team_id: str, now: Callable[[], float]
    ) -> None:
        self._key = key
        self._key_id = key_id
        self._team_id = team_id
        self._now = now
        #: the newest that was taken, and when it says that it was made
        self._latest = ("", 0)
        #: those that were taken, the oldest forgotten
        self._taken: dict[str, int] = {}

    def fault(self, authorization: str) -> str:
        scheme, _, token = authorization.partition(" ")
        if not authorization:
            return "MissingProviderToken"
        if scheme.lower() != "bearer":
            return "InvalidProviderToken"
        made = self._taken.get(token)
        if made is None:
            found = self._read(token)
            if isinstance(found, str):
                return found
            made = found
        return "ExpiredProviderToken" if self._now() - made > LONGEST else ""

    def _read(self, token: str) -> str | int:
        """When a token that is new to us was made, or what is wrong with it."""
        found = es256.parts(token)
        if found is None or not es256.is_signed(token, self._key):
            return "InvalidProviderToken"
        header, claims = found
        made = claims.get("iat")
        if header.get("kid") != self._key_id or claims.get("iss") != self._team_id:
            return "InvalidProviderToken"
        if not isinstance(made, int) or made > self._now() + _LENIENCY:
            return "InvalidProviderToken"
        if self._now() - made > LONGEST:
            return "ExpiredProviderToken"
        if self._latest[0] and made < self._latest[1] + SHORTEST:
            return "TooManyProviderTokenUpdates"
        self._latest = (token, made)
        self._taken = {**dict(list(self._taken.items())[-3:]), token: made}
        return made
