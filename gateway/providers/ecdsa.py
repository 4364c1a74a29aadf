"""Signatures by ECDSA on P-256 with SHA-256 (FIPS 186-5 §6): verified as ASN.1 in base64 (RFC
5480), made as the two numbers side by side (RFC 7518 §3.4); and the keys for both.

Knows no provider, does no I/O.
"""

import binascii
from base64 import b64decode

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils


def public_key(text: str) -> ec.EllipticCurvePublicKey:
    """A SubjectPublicKeyInfo in base64, without the lines of PEM. Raises ValueError."""
    try:
        key = serialization.load_der_public_key(b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ValueError("not a P-256 public key in base64")
    return key


def verify(key: ec.EllipticCurvePublicKey, signature: str, content: bytes) -> bool:
    """Whether the key's owner signed the content."""
    try:
        key.verify(b64decode(signature, validate=True), content, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True


def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """A private key in PEM without password, or its number of 32 bytes in base64url. Raises
    ValueError."""
    try:
        if "-----BEGIN" not in text:
            number = from_base64url(text.strip())
            if len(number) == 32:
                return ec.derive_private_key(int.from_bytes(number, "big"), ec.SECP256R1())
        else:
            key = serialization.load_pem_private_key(text.encode(), password=None)
            if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
                return key
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    raise ValueError("not a P-256 key in PEM without password")


def sign_raw(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    """64 bytes, the same for the same content (RFC 6979)."""
    r, s = utils.decode_dss_signature(key.sign(content, _SIGNING))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


_SIGNING = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def from_base64url(text: str) -> bytes:
    """With or without padding. Raises ValueError."""
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
