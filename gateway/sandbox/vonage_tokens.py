"""Vonage's JSON Web Tokens (RFC 7519): those of applications, and those that sign its webhooks.

https://developer.vonage.com/getting-started/concepts/authentication and
https://developer.vonage.com/getting-started/concepts/webhooks.
"""

import base64
import binascii
import hashlib
import hmac
import time
import uuid
from collections.abc import Callable
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

#: Seconds by which a client's clock may be fast, and the longest life of a token.
_SKEW, _LONGEST = 60, 86_400


class Application:
    """A key pair made on the spot, and the check of tokens signed with it."""

    def __init__(self, application_id: str, *, now: Callable[[], float] = time.time) -> None:
        self._id = application_id
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._now = now

    def private_key(self) -> str:
        """What the dashboard lets one download, PEM."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def admits(self, token: str) -> bool:
        """Whether the token is the application's and good now."""
        try:
            claims = self._verified(token)
            uuid.UUID(claims["jti"])
            issued, expires = float(claims["iat"]), float(claims.get("exp", claims["iat"] + 900))
        except (ValueError, LookupError, TypeError, AttributeError, InvalidSignature):
            return False
        now = self._now()
        in_time = issued - _SKEW <= now < expires <= issued + _LONGEST
        return in_time and claims.get("application_id") == self._id

    def _verified(self, token: str) -> dict[str, Any]:
        head, claims, signature = token.encode("ascii").split(b".")
        if _object(head).get("alg") != "RS256":
            raise ValueError("another algorithm")
        self._key.public_key().verify(
            _decoded(signature), head + b"." + claims, padding.PKCS1v15(), hashes.SHA256()
        )
        return _object(claims)


def webhook(secret: str, body: bytes, *, application_id: str, api_key: str, issued: int) -> str:
    """Value of Authorization of a webhook with this body, HS256."""
    head = {"alg": "HS256", "typ": "JWT"}
    claims = {
        "iat": issued,
        "jti": str(uuid.uuid4()),
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(body).hexdigest(),
        "api_key": api_key,
        "application_id": application_id,
    }
    signed = b".".join(_encoded(orjson.dumps(part)) for part in (head, claims))
    signature = _encoded(hmac.digest(secret.encode(), signed, hashlib.sha256))
    return f"Bearer {(signed + b'.' + signature).decode()}"


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(segment: bytes) -> bytes:
    """Raises ValueError."""
    try:
        return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _object(segment: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    value = orjson.loads(_decoded(segment))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
