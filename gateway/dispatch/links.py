"""The last part of an unsubscribe link: who is to leave what, signed, without an address in clear.

It holds the store's hash of the address. It does not run out, as people open old mail, so every
form that was ever sent stays readable. A link that also names the tenant's own id of somebody,
which may well say who they are, is sealed besides (RFC 5297, the same text each time).
"""

import base64
import binascii
import hmac
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from gateway.model.values import Value

#: Octets of a signature: half of SHA-256, which nobody can guess either (RFC 2104 §5).
_MAC = 16
#: Octets of an address's hash, see `addresses.hash_address`.
_HASH = 16
#: Before what is signed, so that forms can be told apart.
_SIGNED, _SEALED = b"\x01", b"\x02"

#: What templates of email can name beside the tenant's data; empty where there is no link.
NO_URLS: Mapping[str, str] = {"unsubscribe_url": "", "preferences_url": ""}


class Place(Value):
    """Who is to leave what."""

    tenant: str
    category: str
    channel: str
    #: of the address
    hash: str
    #: the tenant's own id of them; empty where the mail was sent without one
    recipient: str = ""


class Links:
    """Makes tokens and reads them. key: 32 secret octets, of the store."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        # a key for each use
        self._seal = AESSIV(hmac.digest(key, b"sealed links", "sha512"))

    def token(self, place: Place) -> str:
        """The same each time for the same place."""
        names = [place.channel, place.tenant, place.category, place.recipient]
        if place.recipient:
            raw = _SEALED + self._seal.encrypt(_pack(place.hash, names), None)
        else:
            signed = _SIGNED + _pack(place.hash, names[:3])
            raw = signed + self._mac(signed)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")

    def read(self, token: str) -> Place | None:
        """What a token stands for; None unless we made it."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        packed = self._open(raw)
        if packed is None:
            return None
        channel, tenant, category, *recipient = packed[_HASH:].decode().split("\0", 3)
        return Place(
            tenant=tenant,
            category=category,
            channel=channel,
            hash=packed[:_HASH].hex(),
            recipient="".join(recipient),
        )

    def _open(self, raw: bytes) -> bytes | None:
        if raw.startswith(_SEALED):
            try:
                return self._seal.decrypt(raw[1:], None)
            except (InvalidTag, ValueError):  # forged, or too short to be anything
                return None
        signed, mac = raw[:-_MAC], raw[-_MAC:]
        if not signed.startswith(_SIGNED) or not hmac.compare_digest(mac, self._mac(signed)):
            return None
        return signed[1:]

    def _mac(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, "sha256")[:_MAC]


def _pack(hash_: str, names: list[str]) -> bytes:
    return bytes.fromhex(hash_) + "\0".join(names).encode()
