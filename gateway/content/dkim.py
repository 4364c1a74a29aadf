"""DKIM signatures over mails as they leave: before dot-stuffing, after everything else.

RFC 6376 (rsa-sha256, relaxed/relaxed), RFC 8463 (ed25519-sha256), RFC 8301 (keys). It reads no
DNS: whether the domain publishes the key is not known here.
"""

import base64
import hashlib
import re
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

#: Signed as often as the mail has them, and once more: a second one put in front would not be
#: covered, and readers show that (RFC 6376 §8.15). RFC 8058 §4 wants both List- fields.
OVERSIGNED = (
    *("from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id"),
    *("mime-version", "content-type", "content-transfer-encoding"),
    *("list-unsubscribe", "list-unsubscribe-post"),
)

#: Signed where the mail has them: a relay may add its own.
SIGNED = ("in-reply-to", "references", "auto-submitted", "list-id", "list-help", "feedback-id")

#: RFC 8301 §3.2: verifiers take no shorter one for a signature.
MIN_RSA_BITS = 1024

#: Columns of a line of base64.
_COLUMNS = 72

_FIELD = re.compile(rb"\r\n(?![ \t])")
#: With how often each is named beyond the fields that there are.
_NAMES = [(name.encode("ascii"), 1) for name in OVERSIGNED]
_NAMES += [(name.encode("ascii"), 0) for name in SIGNED]
_LABELS = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*")


class Signer:
    """Signs for one domain by one key. Threads may share it."""

    def __init__(self, *, domain: str, selector: str, key: str) -> None:
        """domain: with A-labels. key: a private key of RSA or Ed25519, PEM without a password.

        Raises ValueError, which never repeats the key.
        """
        self._key = _load(key)
        if not _LABELS.fullmatch(domain.lower()) or not _LABELS.fullmatch(selector.lower()):
            raise ValueError("domain or selector is no name that DNS can hold")
        algorithm = "rsa" if isinstance(self._key, rsa.RSAPrivateKey) else "ed25519"
        self._start = (
            f"DKIM-Signature: v=1; a={algorithm}-sha256; c=relaxed/relaxed;\r\n"
            f" d={domain.lower()};\r\n s={selector.lower()};"
        ).encode("ascii")

    def sign(self, content: bytes, *, now_s: int) -> bytes:
        """The header field, with its CRLF, that is to stand in front of the content.

        content: canonical lines (CRLF) and at least one header field. now_s: the time it states.
        """
        head, _, body = content.partition(b"\r\n\r\n")
        names, signed = _select(_FIELD.split(head))
        digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest())
        unsigned = b"%b t=%d;\r\n h=%b;\r\n bh=%b;\r\n b=" % (
            self._start,
            now_s,
            b":\r\n ".join(names),
            digest,
        )
        # Its own field comes last and without its line end (RFC 6376 §3.7).
        data = b"".join(signed) + relaxed_header(unsigned).removesuffix(b"\r\n")
        return unsigned + _wrapped(self._sign(data)) + b"\r\n"

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(hashlib.sha256(data).digest())  # RFC 8463 §3


def _load(key: str) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    try:
        loaded = serialization.load_pem_private_key(key.encode("utf-8"), password=None)
    except (ValueError, TypeError):
        raise ValueError("key: not a private key in PEM without a password") from None
    if isinstance(loaded, rsa.RSAPrivateKey):
        if loaded.key_size < MIN_RSA_BITS:
            raise ValueError(f"key: RSA needs {MIN_RSA_BITS} bits at least, better 2048")
        return loaded
    if not isinstance(loaded, ed25519.Ed25519PrivateKey):
        raise ValueError("key: neither RSA nor Ed25519")
    return loaded


def _select(fields: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Names for `h=`, and the fields that they pick: of each name from the last (RFC 6376 §5.4.2).

    Names with no field left pick nothing.
    """
    by_name: dict[bytes, list[bytes]] = {}
    for field in fields:
        by_name.setdefault(field.partition(b":")[0].strip().lower(), []).append(field)
    names: list[bytes] = []
    signed: list[bytes] = []
    for name, more in _NAMES:
        found = by_name.get(name, [])
        names += [name] * (len(found) + more)
        signed += [relaxed_header(field) for field in reversed(found)]
    return names, signed


def relaxed_header(field: bytes) -> bytes:
    """RFC 6376 §3.4.2."""
    name, _, value = field.partition(b":")
    value = _single_blanks(value.replace(b"\r\n", b"")).strip(b" ")
    return name.strip().lower() + b":" + value + b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 §3.4.4. The lines are canonical: no CR or LF by itself."""
    body = _single_blanks(body + b"\r\n").replace(b" \r\n", b"\r\n").rstrip(b"\r\n")
    return body + b"\r\n" if body else b""


def _single_blanks(text: bytes) -> bytes:
    """Each run of blanks as one space. Quicker than a pattern, as few are longer."""
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _wrapped(signature: bytes) -> bytes:
    encoded = base64.b64encode(signature)
    lines = [encoded[at : at + _COLUMNS] for at in range(0, len(encoded), _COLUMNS)]
    return b"\r\n ".join(lines)
