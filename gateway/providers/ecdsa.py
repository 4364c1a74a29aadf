"""Signatures by ECDSA on P-256 with SHA-256, as ASN.1 (FIPS 186-5 §6, RFC 5480), in base64.

Knows no provider, does no I/O.
"""

from base64 import b64decode

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


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
