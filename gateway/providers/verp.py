"""Addresses that name a message, so that a mail to one does whatever it else says: the envelope
sender, where bounces come, and where recipients write to get no more.

The address holds the reference and a tag that only we can make: nobody can report on a message
by inventing its address. In base32, since mail systems may change the case of a local part, and
short enough for one (RFC 5321 §4.5.3.1.1).
"""

import base64
import binascii
import hashlib
import hmac
import re
import uuid
from collections.abc import Sequence

from gateway.model import message

#: Where the reference goes in the configured address.
PLACE = "{reference}"

#: RFC 5321 §4.5.3.1.1: octets of a local part.
MAX_LOCAL = 64

#: 80 bits of HMAC-SHA256.
_TAG_BYTES = 10

#: Of an ordinary reference: its id, three numbers below 128, and the tag.
_TOKEN = len(base64.b32encode(bytes(16 + 3 + _TAG_BYTES)).rstrip(b"="))

#: Characters of the configured local part beside the token.
MAX_PREFIX = MAX_LOCAL - _TOKEN


class Forged(Exception):
    """An address of this form with a tag that is not ours."""


class Addresses:
    """Makes and reads the addresses of one account that are for one purpose."""

    def __init__(
        self, pattern: str, secrets: Sequence[str], *, account: str, purpose: str = "verp"
    ) -> None:
        """pattern: an address with `PLACE` in its local part, domain in ASCII.

        secrets: the first one makes tags, all of them prove one. purpose: a tag for one proves
        nothing for another.
        """
        self._before, _, self._after = pattern.partition(PLACE)
        self._keys = [
            hmac.digest(secret.encode("utf-8"), f"{purpose}:{account}".encode(), hashlib.sha256)
            for secret in secrets
        ]
        self._form = re.compile(
            re.escape(self._before) + r"([a-z2-7]{1,64})" + re.escape(self._after), re.IGNORECASE
        )

    def make(self, reference: str) -> str:
        """The address for a message; empty if its reference is too long, or none of ours."""
        packed = _pack(reference)
        token = base64.b32encode(packed + _tag(self._keys[0], packed)).decode().rstrip("=").lower()
        local = (self._before + token + self._after).rpartition("@")[0]
        if not packed or len(local.encode("utf-8")) > MAX_LOCAL:
            return ""
        return self._before + token + self._after

    def read(self, text: str) -> str:
        """The reference in the first such address; empty when there is none. Raises Forged."""
        found = self._form.search(text[:2000])
        if found is None:
            return ""
        token = found[1].upper()
        try:
            raw = base64.b32decode(token + "=" * (-len(token) % 8))
        except binascii.Error:
            raise Forged from None
        packed, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        proofs = [hmac.compare_digest(tag, _tag(key, packed)) for key in self._keys]
        if not any(proofs):
            raise Forged
        return _unpack(packed)


def _tag(key: bytes, packed: bytes) -> bytes:
    return hmac.digest(key, packed, hashlib.sha256)[:_TAG_BYTES]


def _pack(reference: str) -> bytes:
    """Empty for what is no reference of ours."""
    place = message.read_reference(reference)
    if place is None:
        return b""
    id_, *numbers = place
    try:
        packed = uuid.UUID(id_).bytes
    except ValueError:
        return b""
    for number in numbers:
        while number > 127:
            packed += bytes([number & 127 | 128])
            number >>= 7
        packed += bytes([number])
    return packed if _unpack(packed) == reference else b""


def _unpack(packed: bytes) -> str:
    """The inverse of `_pack`, for what a tag has proved."""
    numbers, number, shift = [], 0, 0
    for octet in packed[16:]:
        number |= (octet & 127) << shift
        shift += 7
        if octet < 128:
            numbers.append(number)
            number, shift = 0, 0
    if len(numbers) != 3:
        return ""
    redrive, step, part = numbers
    id_ = str(uuid.UUID(bytes=packed[:16]))
    return message.reference(id_, redrive=redrive, step=step, part=part)
