"""What a push service checks, and what only the browser can: RFC 8030, 8188, 8291 and 8292."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.sandbox import es256

_URGENCIES = frozenset({"very-low", "low", "normal", "high"})
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_TTL = re.compile(r"\d{1,9}")
_LONGEST_TTL = 2_592_000
_DAY = 86_400
_MAX_BODY = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A browser's, with what only the browser knows."""

    id: str
    #: the key of the application that it is for, in base64url; empty: any
    application: str = ""
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    def keys(self) -> dict[str, str]:
        return {
            "p256dh": es256.encoded(_point(self.key.public_key())),
            "auth": es256.encoded(self.secret),
        }


def header_fault(headers: Mapping[str, str], *, has_body: bool) -> str:
    """What is wrong with the request's headers; empty when nothing is. Names in lower case."""
    ttl = headers.get("ttl", "")
    if not _TTL.fullmatch(ttl) or int(ttl) > _LONGEST_TTL:
        return "Invalid TTL"
    if headers.get("urgency", "normal") not in _URGENCIES:
        return "Invalid Urgency"
    topic = headers.get("topic")
    if topic is not None and not _TOPIC.fullmatch(topic):
        return "Invalid Topic"
    if has_body and headers.get("content-encoding") != "aes128gcm":
        return "Invalid Content-Encoding"
    return ""


def vapid_fault(
    authorization: str, subscription: Subscription, *, origin: str, now: float
) -> tuple[int, str] | None:
    """Status and text when the sender has not proved to be the application (RFC 8292 §4)."""
    scheme, _, rest = authorization.partition(" ")
    named = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    token, public = named.get("t", ""), named.get("k", "")
    key = _key(public)
    found = es256.parts(token)
    if scheme.lower() != "vapid" or key is None or found is None:
        return 401, "Missing or malformed VAPID"
    if not es256.is_signed(token, key):
        return 401, "Invalid VAPID signature"
    claims = found[1]
    expires = claims.get("exp")
    if not isinstance(expires, int) or not now < expires <= now + _DAY:
        return 401, "Invalid exp"
    if claims.get("aud") != origin:
        return 401, "Invalid aud"
    if not str(claims.get("sub", "")).startswith(("mailto:", "https://")):
        return 401, "Invalid sub"
    if subscription.application and public != subscription.application:
        return 403, "Key of another application"
    return None


def decrypt(body: bytes, subscription: Subscription) -> bytes:
    """What the browser reads. Raises ValueError."""
    if len(body) > _MAX_BODY or len(body) < 21 or len(body) < 21 + body[20] + 18:
        raise ValueError("size")
    salt, size, theirs = body[:16], int.from_bytes(body[16:20], "big"), body[21 : 21 + body[20]]
    sealed = body[21 + len(theirs) :]
    if len(theirs) != 65 or not size >= 18 or len(sealed) > size:
        raise ValueError("not one record with a key")
    shared = subscription.key.exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs)
    )
    ours = _point(subscription.key.public_key())
    material = _derive(shared, subscription.secret, b"WebPush: info\0" + ours + theirs, length=32)
    key = _derive(material, salt, b"Content-Encoding: aes128gcm\0", length=16)
    nonce = _derive(material, salt, b"Content-Encoding: nonce\0", length=12)
    try:
        padded = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")
    except InvalidTag:
        raise ValueError("not for this browser") from None
    if not padded.endswith(b"\2"):
        raise ValueError("not the last record")
    return padded[:-1]


def _derive(secret: bytes, salt: bytes, info: bytes, *, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def _key(text: str) -> ec.EllipticCurvePublicKey | None:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), es256.unpadded(text))
    except ValueError:
        return None


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
