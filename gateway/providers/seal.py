"""Access tokens as a shared store may hold them: sealed with AES-256-GCM (NIST SP 800-38D).

The key is made of the account's own settings, its secrets among them. A key of the instance would
lie in the same database as what it seals. Whoever can open a token this way could have asked for
one; and when the settings change, what was sealed under the old ones is nothing any more.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Octets (§5.2.1.1).
_NONCE = 12


class Seal:
    """Of one account."""

    def __init__(self, account: str, options: Mapping[str, Any]) -> None:
        """options: the kind's keys, secrets filled in."""
        material = orjson.dumps(dict(options), option=orjson.OPT_SORT_KEYS, default=str)
        key = blake2b(material, digest_size=32, person=b"gateway token").digest()
        self._cipher = AESGCM(key)
        self._account = account.encode()

    def close(self, text: str) -> str:
        nonce = os.urandom(_NONCE)
        return b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), self._account)).decode()

    def open(self, sealed: str) -> str:
        """Empty for what this account has not sealed."""
        try:
            octets = b64decode(sealed)
            nonce, rest = octets[:_NONCE], octets[_NONCE:]
            return self._cipher.decrypt(nonce, rest, self._account).decode()
        except (ValueError, InvalidTag):
            return ""
