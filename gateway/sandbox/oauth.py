"""A service account and the tokens that it earns: the JWT bearer grant (RFC 7523 §2.1).

As https://developers.google.com/identity/protocols/oauth2/service-account describes it.
"""

import base64
import binascii
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Set
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

#: Google's own libraries write this whatever the key file's `token_uri` is.
_AUDIENCE = "https://oauth2.googleapis.com/token"

#: How far the clocks of client and server may differ, and the longest life of an assertion.
_SKEW = 300
_LONGEST = 3600

#: Tokens remembered; a client that asks for more at once has lost its cache.
_KEPT = 10_000


class ServiceAccount:
    """A key pair made on the spot, and the checks of assertions signed with it."""

    def __init__(
        self,
        *,
        token_uri: Callable[[], str],
        scopes: Set[str],
        email: str = "sandbox@sandbox.iam.gserviceaccount.com",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._key_id = secrets.token_hex(20)
        self._token_uri = token_uri
        self._scopes = scopes
        self._email = email
        self._now = now

    def key_file(self, project_id: str) -> dict[str, str]:
        """The JSON key file that a client is configured with."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "type": "service_account",
            "project_id": project_id,
            "private_key_id": self._key_id,
            "private_key": pem.decode(),
            "client_email": self._email,
            "client_id": "100000000000000000001",
            "token_uri": self._token_uri(),
        }

    def fault(self, grant_type: str, assertion: str) -> tuple[str, str] | None:
        """(error, description) of a token request; None for a good one."""
        if grant_type != GRANT:
            return "unsupported_grant_type", f"Invalid grant_type: {grant_type[:80]}"
        try:
            claims = self._verified(assertion)
        except (ValueError, InvalidSignature):
            return "invalid_grant", "Invalid JWT Signature."
        return self._claim_fault(claims)

    def _verified(self, assertion: str) -> dict[str, Any]:
        """The claims. Raises ValueError or InvalidSignature."""
        head, claims, signature = assertion.encode().split(b".")
        header = _object(head)
        if header.get("alg") != "RS256" or header.get("kid") != self._key_id:
            raise ValueError("another key or algorithm")
        self._key.public_key().verify(
            _decoded(signature), head + b"." + claims, padding.PKCS1v15(), hashes.SHA256()
        )
        return _object(claims)

    def _claim_fault(self, claims: dict[str, Any]) -> tuple[str, str] | None:
        issued, expires, now = claims.get("iat"), claims.get("exp"), self._now()
        if claims.get("iss") != self._email:
            return "invalid_grant", "Invalid grant: account not found"
        if claims.get("aud") not in (self._token_uri(), _AUDIENCE):
            return "invalid_grant", "Invalid JWT: Failed audience check."
        if not (isinstance(issued, int) and isinstance(expires, int)) or not (
            issued <= now + _SKEW and now - _SKEW <= expires <= issued + _LONGEST
        ):
            return "invalid_grant", (
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable"
                " timeframe. Check your iat and exp values in the JWT claim."
            )
        if not self._scopes & set(str(claims.get("scope", "")).split()):
            return "invalid_scope", "Invalid OAuth scope or ID token audience provided."
        return None


class Tokens:
    """Access tokens that were given out and until when each is good."""

    def __init__(self, *, lifetime: float, now: Callable[[], float]) -> None:
        #: seconds that a token is good for
        self.lifetime = lifetime
        #: tokens given since the start
        self.issued = 0
        self._now = now
        self._until: OrderedDict[str, float] = OrderedDict()

    def issue(self) -> str:
        value = "ya29." + secrets.token_urlsafe(32)
        self._until[value] = self._now() + self.lifetime
        self.issued += 1
        if len(self._until) > _KEPT:
            self._until.popitem(last=False)
        return value

    def valid(self, value: str) -> bool:
        return self._now() < self._until.get(value, 0.0)

    def revoke(self) -> None:
        """End every token now, as when the key was withdrawn."""
        self._until.clear()


def _object(segment: bytes) -> dict[str, Any]:
    value = orjson.loads(_decoded(segment))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _decoded(segment: bytes) -> bytes:
    try:
        return base64.b64decode(segment + b"=" * (-len(segment) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
