"""X-Twilio-Signature: what Twilio signs of a request of its own, and whether it did.

https://www.twilio.com/docs/usage/webhooks/webhooks-security. The URL counts as Twilio called it; a
form by its decoded fields, any other body by its hash in the URL's query.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from urllib.parse import parse_qsl

from gateway.model import wire
from gateway.providers import auth

#: Fields of one callback; more is not from Twilio.
_MAX_FIELDS = 100


def verify(tokens: Iterable[bytes], request: wire.HttpRequest) -> bool:
    """Whether any of the tokens signed the request."""
    signed = _signed_fields(request)
    if signed is None:
        return False
    offered = auth.to_bytes(request.headers.get("x-twilio-signature", ""))
    expected = [
        b64encode(hmac.digest(token, auth.to_bytes(url + signed), "sha1"))
        for token in tokens
        for url in _spellings(request.url)
    ]
    return any(hmac.compare_digest(one, offered) for one in expected)


def form(request: wire.HttpRequest) -> list[tuple[str, str]] | None:
    """Fields of a form body, decoded, in their order; None when it is not a form."""
    if "json" in request.headers.get("content-type", "").lower():
        return None
    try:
        text = request.body.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None


def _signed_fields(request: wire.HttpRequest) -> str | None:
    """What follows the URL in the signed string; None when the body is not covered by it."""
    fields = form(request)
    if fields is not None:
        return "".join(name + value for name, value in sorted(set(fields)))
    digest = re.search(r"[?&]bodySHA256=([0-9a-f]{64})(?:[&#]|$)", request.url)
    body_is_signed = digest is not None and hmac.compare_digest(
        digest[1], sha256(request.body).hexdigest()
    )
    return "" if body_is_signed else None


def _spellings(url: str) -> set[str]:
    """The URL as it stands, without its port and with the default one: all of them are signed."""
    scheme, mark, rest = url.partition("#")[0].partition("://")
    host = re.split(r"[/?]", rest, maxsplit=1)[0]
    tail = rest[len(host) :]
    bare = re.sub(r":\d+$", "", host)
    port = "443" if scheme == "https" else "80"
    with_port = host if bare != host else f"{host}:{port}"
    return {f"{scheme}{mark}{each}{tail}" for each in (host, bare, with_port)}
