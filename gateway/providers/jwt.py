"""JSON Web Tokens (RFC 7519) in compact form (RFC 7515 §7.1): signed by RS256 or ES256, HS256
verified.

Only these three (RFC 7518 §3), and the caller names the one that it wants: what a token's header
says of its algorithm is believed by nobody. Knows no claims but by what it is given.
"""

import binascii
import hmac
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from gateway.providers import ecdsa

#: Characters of a token that is looked at; those with a handful of claims have a few hundred.
_LONGEST = 8192


def sign_rs256(
    key: rsa.RSAPrivateKey, *, header: Mapping[str, Any], claims: Mapping[str, Any]
) -> str:
    """A token; the same for the same claims, as the signature has no chance in it."""
    signed = f"{_segment(orjson.dumps(header))}.{_segment(orjson.dumps(claims))}"
    signature = key.sign(signed.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_segment(signature)}"


def sign_es256(
    key: ec.EllipticCurvePrivateKey, *, header: Mapping[str, Any], claims: Mapping[str, Any]
) -> str:
    """A token; the same for the same claims, as its signature is made without chance (RFC 6979)."""
    signed = f"{_segment(orjson.dumps(header))}.{_segment(orjson.dumps(claims))}"
    return f"{signed}.{_segment(ecdsa.sign_raw(key, signed.encode('ascii')))}"


def read_hs256(token: str, secret: bytes) -> dict[str, Any] | None:
    """The claims of a token that the secret signed; None when it did not, or it is no token."""
    if len(token) > _LONGEST or not token.isascii() or not secret:
        return None
    signed, _, signature = token.rpartition(".")
    head, _, body = signed.partition(".")
    expected = hmac.digest(secret, signed.encode("ascii"), "sha256")
    if not hmac.compare_digest(expected, _decoded(signature)):
        return None
    header = _object(head)
    return _object(body) if header is not None and header.get("alg") == "HS256" else None


def rsa_key(pem: str) -> rsa.RSAPrivateKey:
    """The private key in a PEM text. Raises ValueError when it is anything else."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key in PEM without password")
    return key


def _segment(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decoded(segment: str) -> bytes:
    """Bytes of base64url without padding; empty when it is something else."""
    try:
        return b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _object(segment: str) -> dict[str, Any] | None:
    try:
        value = orjson.loads(_decoded(segment))
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
