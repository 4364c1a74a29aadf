"""Message encryption for Web Push (RFC 8291) by the `aes128gcm` coding (RFC 8188).

Knows no provider, does no I/O. Each body has a key pair and a salt of its own (RFC 8291 §3.1, RFC
8188 §2.1): both are drawn here unless a test gives them.
"""

import hmac
import os
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Services must take bodies of this size (RFC 8030 §7.2); it is our record size, too.
MAX_BODY = 4096
#: Salt, record size, length of the key and the key; and what ends the record: a delimiter, a tag.
_HEADER, _TRAILER = 16 + 4 + 1 + 65, 1 + 16
MAX_PLAINTEXT = MAX_BODY - _HEADER - _TRAILER


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """The keys of a subscription (Push API, `PushSubscription.getKey`)."""

    #: `p256dh`, 65 bytes: an uncompressed point
    public: bytes
    #: `auth`, 16 bytes
    secret: bytes = field(repr=False)


def encrypt(
    plaintext: bytes,
    recipient: Recipient,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes = b"",
) -> bytes:
    """The body in one record. Raises ValueError for keys that are none, and for long texts."""
    if len(plaintext) > MAX_PLAINTEXT:
        raise ValueError("content: too long for a web push")
    theirs = public_key(recipient.public)
    ours = key or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    ours_public = point(ours.public_key())
    shared = ours.exchange(ec.ECDH(), theirs)
    info = b"WebPush: info\0" + recipient.public + ours_public + b"\1"
    secret = _mac(_mac(recipient.secret, shared), info)
    pseudo_random = _mac(salt, secret)
    content_key = _mac(pseudo_random, b"Content-Encoding: aes128gcm\0\1")[:16]
    nonce = _mac(pseudo_random, b"Content-Encoding: nonce\0\1")[:12]
    sealed = AESGCM(content_key).encrypt(nonce, plaintext + b"\2", None)
    return salt + MAX_BODY.to_bytes(4, "big") + bytes([len(ours_public)]) + ours_public + sealed


def public_key(data: bytes) -> ec.EllipticCurvePublicKey:
    """An uncompressed point on P-256. Raises ValueError for anything else."""
    if len(data) != 65 or data[0] != 4:
        raise ValueError("not an uncompressed point")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """65 bytes."""
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
