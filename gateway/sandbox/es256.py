"""JSON Web Tokens signed with ES256 (RFC 7518 §3.4), as a service verifies them."""

import base64
import binascii
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Header and claims, nothing proved yet; None when it is no token."""
    pieces = token.split(".")
    if len(pieces) != 3:
        return None
    try:
        header, claims = (orjson.loads(unpadded(piece)) for piece in pieces[:2])
    except ValueError:
        return None
    return (header, claims) if isinstance(header, dict) and isinstance(claims, dict) else None


def is_signed(token: str, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether the key's owner signed the token with ES256."""
    found = parts(token)
    if found is None or found[0].get("alg") != "ES256":
        return False
    signed, _, last = token.rpartition(".")
    try:
        raw = unpadded(last)
        if len(raw) != 64:
            return False
        numbers = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
        key.verify(encode_dss_signature(*numbers), signed.encode(), ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True


def unpadded(text: str) -> bytes:
    """Bytes of base64url without padding. Raises ValueError."""
    if "=" in text or not text.isascii():
        raise ValueError("padded")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
