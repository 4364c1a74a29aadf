"""Signatures of Standard Webhooks 1.0.0, symmetric keys: signing and checking."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

#: Receivers refuse timestamps further off than this, in seconds, in both directions.
TOLERANCE = 300

_PREFIX = "whsec_"


def sign(secret: str, *, id: str, timestamp: int, body: bytes) -> str:
    """One entry of the header `webhook-signature`. Raises ValueError for an unreadable secret."""
    signed = f"{id}.{timestamp}.".encode() + body
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def fault(
    secrets: Iterable[str], headers: Mapping[str, str], body: bytes, *, now: float
) -> str | None:
    """What is wrong with a signed request; None when one of the secrets proves it.

    headers: looked up by lower-case name. now: epoch seconds.
    """
    id, stamp, given = (headers.get(f"webhook-{name}", "") for name in _HEADERS)
    if not id or not stamp or not given:
        return "a webhook header is missing"
    if "." in id:
        return "the id has a full stop"
    if not (stamp.isascii() and stamp.isdecimal()) or abs(now - int(stamp)) > TOLERANCE:
        return "the timestamp is not within five minutes"
    signatures = [one.encode() for one in given.split()]
    for secret in secrets:
        expected = sign(secret, id=id, timestamp=int(stamp), body=body).encode()
        if any(hmac.compare_digest(expected, one) for one in signatures):
            return None
    return "no signature matches"


_HEADERS = ("id", "timestamp", "signature")


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a webhook secret must be whsec_ and base64") from None
