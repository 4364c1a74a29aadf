"""What WeChat and WeCom post, signed and encrypted as the platforms do it.

https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Message_encryption_and_decryption.html
"""

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.model import wire

#: Bytes of a block of the padding, not of the cipher.
_BLOCK = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Token, key and owner of one address. Without a key what is posted stays plain."""

    token: str
    aes_key: str
    receive_id: str

    def post(self, url: str, document: str, *, at: int) -> wire.HttpRequest:
        """A document on its way to `url`. at: seconds since the epoch."""
        nonce = str(int.from_bytes(os.urandom(4), "big"))
        query = {"timestamp": str(at), "nonce": nonce}
        query["signature"] = self.sign(query["timestamp"], nonce)
        body = document
        if self.aes_key:
            sealed = self.encrypt(document.encode())
            query["encrypt_type"] = "aes"
            query["msg_signature"] = self.sign(query["timestamp"], nonce, sealed)
            body = document_of({"ToUserName": self.receive_id, "Encrypt": sealed})
        return wire.HttpRequest(
            method="POST",
            url=f"{url}{'&' if '?' in url else '?'}{urlencode(query)}",
            headers={"Content-Type": "text/xml"},
            body=body.encode(),
        )

    def sign(self, *parts: str) -> str:
        return hashlib.sha1("".join(sorted([self.token, *parts])).encode()).hexdigest()

    def encrypt(self, message: bytes) -> str:
        key = base64.b64decode(self.aes_key + "=")
        length = len(message).to_bytes(4, "big")
        plain = os.urandom(16) + length + message + self.receive_id.encode()
        count = _BLOCK - len(plain) % _BLOCK
        plain += bytes([count]) * count
        encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
        return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def document_of(fields: Mapping[str, Any]) -> str:
    """`<xml>` with these fields; numbers stand bare, texts in CDATA, tables are nested."""
    return f"<xml>{_inner(fields)}</xml>"


def _inner(fields: Mapping[str, Any]) -> str:
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in fields.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _inner(value)
    if isinstance(value, int):
        return str(value)
    return escape(value) if "]]>" in value else f"<![CDATA[{value}]]>"
