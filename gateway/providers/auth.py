"""Mechanics of authentication that have a public specification, shared by providers.

HTTP Basic (RFC 7617), the OAuth 2.0 grants of JWT bearers (RFC 7523) and of client credentials
(RFC 6749 §4.4), and Standard Webhooks 1.0.0 signatures
(https://github.com/standard-webhooks/standard-webhooks). Knows no provider by name, does no I/O,
and compares secrets in constant time only.
"""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from gateway.clock import Clock
from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import base, jwt

#: Seconds by which a signed timestamp may be off, either way; as in the reference libraries.
TOLERANCE = 300
#: Seconds that an assertion is good for: the most that Google accepts.
ASSERTION_LIFETIME = 3600
#: Signatures of one header that are looked at; a sender has a handful of keys at most.
_MAX_SIGNATURES = 16
#: Answers of a token endpoint that say "later": RFC 6749 §4.1.2.1, and Google's `internal_failure`.
_LATER = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; empty when it is anything else, also when it is not JSON."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def to_bytes(text: str) -> bytes:
    """UTF-8 that never fails: HTTP header values may hold lone surrogates for undecodable bytes."""
    return text.encode("utf-8", "surrogatepass")


def basic(username: str, password: str) -> str:
    """Value of an Authorization header (RFC 7617 §2)."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")


def sign_webhook(secrets: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Value of `webhook-signature`: one signature a secret, in their order.

    secrets: `whsec_…` or the same without prefix (v1), or `whsk_…` (v1a). One that cannot be a
    key signs nothing, so that the others still reach their receiver.
    timestamp: seconds of this attempt; a repeated request is signed anew.
    """
    content = _signed_content(message_id, str(timestamp), body)
    signatures = (_sign(secret, content) for secret in secrets)
    return " ".join(signature for signature in signatures if signature)


def verify_webhook(
    secrets: Iterable[str], *, headers: Mapping[str, str], body: bytes, now_ms: int
) -> bool:
    """Whether any of the secrets (`whsec_…`, a plain one, or `whpk_…`) signed this, just now.

    headers: keys in lower case. A secret without prefix is tried as base64 and as it stands.
    """
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not _is_now(timestamp, now_ms):
        return False
    content = _signed_content(message_id, timestamp, body)
    offered = headers.get("webhook-signature", "").split(" ")[:_MAX_SIGNATURES]
    return any(_matches(secret, content, offered) for secret in secrets)


def _signed_content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return to_bytes(f"{message_id}.{timestamp}.") + body


def _is_now(timestamp: str, now_ms: int) -> bool:
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    return abs(int(timestamp) * 1000 - now_ms) <= TOLERANCE * 1000


def _sign(secret: str, content: bytes) -> str:
    if secret.startswith("whsk_"):
        seed = _base64(secret[5:])[:32]  # 32 bytes of seed, then the public key
        if len(seed) < 32:
            return ""
        key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        return "v1a," + b64encode(key.sign(content)).decode("ascii")
    keys = _symmetric_keys(secret)
    return _mac(keys[0], content) if keys else ""


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _mac(key: bytes, content: bytes) -> str:
    # `hmac.digest` gives up the interpreter's lock whatever the length, and waits to get it back.
    mac = _keyed(key).copy()
    mac.update(content)
    return "v1," + b64encode(mac.digest()).decode("ascii")


def _matches(secret: str, content: bytes, offered: Sequence[str]) -> bool:
    if secret.startswith("whpk_"):
        return any(_is_signed_by(secret, content, one) for one in offered)
    expected = [_mac(key, content).encode() for key in _symmetric_keys(secret)]
    return any(hmac.compare_digest(mine, to_bytes(one)) for mine in expected for one in offered)


def _is_signed_by(public: str, content: bytes, offered: str) -> bool:
    version, _, signature = offered.partition(",")
    key = _base64(public[5:])
    if version != "v1a" or len(key) != 32:
        return False
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(_base64(signature), content)
    except InvalidSignature:
        return False
    return True


def _symmetric_keys(secret: str) -> list[bytes]:
    """What the secret may stand for, likeliest first; never an empty key, which anybody has."""
    prefixed = secret.startswith("whsec_")
    text = secret.removeprefix("whsec_")
    decoded = _base64(text)
    raw = b"" if prefixed and decoded else to_bytes(text)
    return [key for key in (decoded, raw) if key]


def _base64(text: str) -> bytes:
    """Bytes of standard base64, padded or not; empty when it is something else."""
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


class _Grant(base.Credential):
    """What grants have in common: the answer (RFC 6749 §5), and tokens as bearers (RFC 6750 §2.1).

    Subclasses say how to ask.
    """

    _clock: Clock

    def read_token(self, response: wire.HttpResponse) -> wire.Token | wire.Deferred:
        answer = json_object(response.body)
        token, lifetime = answer.get("access_token"), _seconds(answer.get("expires_in"))
        if response.status == 200 and isinstance(token, str) and token and lifetime is not None:
            return wire.Token(value=token, expires_in=lifetime)
        return _no_token(answer, response, now_ms=self._clock.now_ms())

    def authorise(self, request: wire.HttpRequest, token: str) -> wire.HttpRequest:
        return replace(request, headers={**request.headers, "authorization": f"Bearer {token}"})


class ClientCredentials(_Grant):
    """Access tokens for a client's id and secret, both in the form (RFC 6749 §2.3.1, §4.4)."""

    def __init__(self, *, client_id: str, secret: str, token_uri: str, clock: Clock) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secret,
        }
        self._request = _form_request(token_uri, form)
        self._clock = clock

    def token_request(self) -> wire.HttpRequest:
        return self._request


class JwtBearer(_Grant):
    """Access tokens of a service account by the JWT bearer grant (RFC 7523 §2.1), RS256.

    Raises ValueError when `private_key` is not an RSA key in PEM without password.
    """

    def __init__(
        self,
        *,
        issuer: str,
        scope: str,
        private_key: str,
        key_id: str,
        token_uri: str,
        clock: Clock,
    ) -> None:
        self._issuer = issuer
        self._scope = scope
        self._key = jwt.rsa_key(private_key)
        self._key_id = key_id
        self._token_uri = token_uri
        self._clock = clock

    def token_request(self) -> wire.HttpRequest:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": self._assertion(),
        }
        return _form_request(self._token_uri, form)

    def _assertion(self) -> str:
        now = self._clock.now_ms() // 1000
        header = {"typ": "JWT", "alg": "RS256", "kid": self._key_id}
        claims = {
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
            "iss": self._issuer,
            "aud": self._token_uri,
            "scope": self._scope,
        }
        return jwt.sign_rs256(self._key, header=header, claims=claims)


def _form_request(url: str, form: Mapping[str, str]) -> wire.HttpRequest:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return wire.HttpRequest(method="POST", url=url, headers=headers, body=urlencode(form).encode())


def _no_token(
    answer: Mapping[str, Any], response: wire.HttpResponse, *, now_ms: int
) -> wire.Deferred:
    """A token endpoint takes nothing but credentials, so that every failure may be repeated."""
    error = answer.get("error")
    code = error[:60] if isinstance(error, str) and error else f"http_{response.status}"
    by_status = base.result_of_status(response, now_ms=now_ms)
    wait = base.retry_after(response, now_ms=now_ms)
    if code in _LATER or answer.get("error_description") in _LATER:
        cause = wire.Cause.TEMPORARY
    elif isinstance(by_status, wire.Deferred):
        cause = by_status.cause
    elif isinstance(by_status, wire.Accepted):
        code, cause = "unreadable_token", wire.Cause.TEMPORARY
    else:
        cause = wire.Cause.CREDENTIAL
    return wire.Deferred(code=code, detail="no access token", cause=cause, retry_after=wait)


def _seconds(value: object) -> float | None:
    """`expires_in`, which some services send as a string."""
    if isinstance(value, str) and value.isdecimal():
        return float(value[:9])
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    return None
