"""What WeChat and WeCom post to us: signed with a token, encrypted or plain, in XML.

https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Message_encryption_and_decryption.html
and https://developer.work.weixin.qq.com/document/path/90968, which differ in how an address is
proved: WeChat echoes a plain text, WeCom one that it encrypted.

The signature of the plain form does not cover the body. Hence an account that has a key believes
encrypted reports only.
"""

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha1
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import auth

#: What is read at most: a text of 2,048 bytes, a list of a few templates.
MAX_BODY = 256 * 1024
#: Characters of an EncodingAESKey: 32 bytes in base64 without its `=`.
KEY_LENGTH = 43
#: Padding goes up to this, twice what AES needs.
_BLOCK = 32
#: Before the message: random bytes, then its length.
_RANDOM, _LENGTH = 16, 4
_MAX_FIELDS = 20


class Undecryptable(ValueError):
    """Not encrypted with our key, or not for us."""


class Callback:
    """Proves and opens what comes to the address of one account."""

    def __init__(
        self, *, token: str, aes_key: str, receive_id: str, encrypts_echo: bool, clock: Clock
    ) -> None:
        """receive_id: AppID or corpid, at the end of what is encrypted. encrypts_echo: WeCom.

        Raises ValueError for what is no key.
        """
        self._token = token
        self._key = read_key(aes_key) if aes_key else b""
        self._receive_id = receive_id
        self._encrypts_echo = encrypts_echo
        self._clock = clock

    def verify(self, request: wire.HttpRequest) -> bool:
        """Whether the service signed this in the last minutes, for this account."""
        query = _query(request.url)
        if not self._token or not self._is_now(query.get("timestamp", "")):
            return False
        try:
            sealed = self._sealed(request, query)
            proof = "signature" if sealed is None else "msg_signature"
            if not self._is_signed(query, query.get(proof, ""), sealed):
                return False
            if sealed is not None:
                self._open(sealed)
        except (errors.UnreadableReceipt, Undecryptable):
            return False
        return True

    def read(self, request: wire.HttpRequest) -> Element:
        """The document that a verified request brings. Raises UnreadableReceipt."""
        sealed = self._sealed(request, _query(request.url))
        try:
            return read_xml(request.body if sealed is None else self._open(sealed))
        except Undecryptable:
            raise errors.UnreadableReceipt("not encrypted for this account") from None

    def answer(self, request: wire.HttpRequest) -> wire.HttpResponse:
        """What a verified request wants to hear."""
        body = b"success"
        if request.method == "GET":
            echo = _query(request.url).get("echostr", "")
            body = self._open(echo) if self._encrypts_echo else auth.to_bytes(echo)
        return wire.HttpResponse(
            status=200, headers={"content-type": "text/plain; charset=utf-8"}, body=body
        )

    def _sealed(self, request: wire.HttpRequest, query: Mapping[str, str]) -> str | None:
        """What is encrypted of the request; None when it is of the plain form."""
        if request.method == "GET":
            return query.get("echostr", "") if self._encrypts_echo else None
        if not self._key:
            return None
        return text_of(read_xml(request.body), "Encrypt")

    def _is_signed(self, query: Mapping[str, str], proof: str, sealed: str | None) -> bool:
        parts = [self._token, query.get("timestamp", ""), query.get("nonce", "")]
        parts += [] if sealed is None else [sealed]
        return hmac.compare_digest(auth.to_bytes(sign(*parts)), auth.to_bytes(proof))

    def _is_now(self, timestamp: str) -> bool:
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
            return False
        return abs(int(timestamp) * 1000 - self._clock.now_ms()) <= auth.TOLERANCE * 1000

    def _open(self, sealed: str) -> bytes:
        return decrypt(self._key, sealed, receive_id=self._receive_id)


def sign(*parts: str) -> str:
    """SHA-1 of the sorted parts, in hexadecimal."""
    return sha1(auth.to_bytes("".join(sorted(parts)))).hexdigest()


def read_key(text: str) -> bytes:
    """The 32 bytes of an EncodingAESKey. Raises ValueError."""
    try:
        key = b64decode(f"{text}=", validate=True) if len(text) == KEY_LENGTH else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ValueError(f"not an EncodingAESKey of {KEY_LENGTH} characters")
    return key


def key_faults(text: str) -> list[str]:
    """What is wrong with an account's `encoding_aes_key`; nothing when there is none."""
    try:
        if text:
            read_key(text)
    except ValueError as error:
        return [f"encoding_aes_key: {error}"]
    return []


def decrypt(key: bytes, sealed: str, *, receive_id: str) -> bytes:
    """The message in an `Encrypt`. Raises Undecryptable."""
    try:
        data = b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        raise Undecryptable("not base64") from None
    if not key or not data or len(data) % 16:
        raise Undecryptable("not whole blocks")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
    plain = decryptor.update(data) + decryptor.finalize()
    body = plain[_RANDOM : len(plain) - min(plain[-1], _BLOCK)]
    length = int.from_bytes(body[:_LENGTH], "big")
    content, owner = body[_LENGTH : _LENGTH + length], body[_LENGTH + length :]
    if len(content) != length or not hmac.compare_digest(owner, receive_id.encode()):
        raise Undecryptable("not for this account")
    return content


def read_xml(body: bytes) -> Element:
    """A document without a DTD, hence without entities of its own. Raises UnreadableReceipt."""
    if len(body) > MAX_BODY:
        raise errors.UnreadableReceipt("too long")
    tree = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_dtd
    parser.StartElementHandler = lambda name, _: tree.start(name, {})
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError, ValueError):
        raise errors.UnreadableReceipt("not XML") from None
    return tree.close()


def _refuse_dtd(*_: object) -> None:
    raise errors.UnreadableReceipt("XML with a DTD")


def text_of(node: Element, name: str) -> str:
    """Text of a child; empty without one."""
    return (node.findtext(name) or "").strip()


def read_at(node: Element) -> datetime | None:
    """CreateTime, in seconds."""
    value = text_of(node, "CreateTime")
    good = value.isascii() and value.isdecimal() and len(value) <= 11
    return datetime.fromtimestamp(int(value), UTC) if good else None


def read_inbound(node: Element, *, to: str) -> list[wire.InboundMessage]:
    """The text that somebody wrote, when the document brings one. Raises UnreadableReceipt."""
    if text_of(node, "MsgType") != "text":
        return []
    sender, id_ = text_of(node, "FromUserName"), text_of(node, "MsgId")
    if not sender or not id_:
        raise errors.UnreadableReceipt("neither an id nor a sender of a message")
    text = node.findtext("Content") or ""
    return [wire.InboundMessage(sender=sender, to=to, text=text, provider_id=id_, at=read_at(node))]


def _query(url: str) -> dict[str, str]:
    """Fields of the query; one that comes twice counts as absent."""
    try:
        fields = parse_qs(urlsplit(url).query, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}
