"""Checks signatures, version 4, as Amazon Web Services do.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/, ]+)/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)
_UNRESERVED = "-_.~"

#: Seconds by which the clock of a client may be off.
TOLERANCE = 300

MISSING, INCOMPLETE = "MissingAuthenticationTokenException", "IncompleteSignature"
STRANGER, WRONG = "UnrecognizedClientException", "InvalidSignatureException"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is signed; `path` and `query` as they came."""

    method: str
    path: str
    query: str
    #: keys in lower case
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """One pair of keys and where it is good."""

    access_key_id: str
    secret_access_key: str
    #: of temporary credentials
    session_token: str = ""
    region: str
    service: str


def fault(request: Request, keys: Keys, *, now: float) -> str:
    """The code of the error that this deserves; empty for a good signature. now: epoch seconds."""
    given = request.headers.get("authorization", "")
    if not given:
        return MISSING
    found = _AUTHORIZATION.fullmatch(given)
    if found is None:
        return INCOMPLETE
    id, date, region, service, names, signature = found.groups()
    token = request.headers.get("x-amz-security-token", "")
    if id != keys.access_key_id or token != keys.session_token:
        return STRANGER
    stamp = request.headers.get("x-amz-date", "")
    signed = names.split(";")
    is_scope = (date, region, service) == (stamp[:8], keys.region, keys.service)
    needed = {"host", *(name for name in request.headers if name.startswith("x-amz-"))}
    if not is_scope or needed - set(signed) or signed != sorted(signed) or not _is_now(stamp, now):
        return WRONG
    expected = _signature(request, keys, stamp, signed)
    return "" if hmac.compare_digest(signature, expected) else WRONG


def _is_now(stamp: str, now: float) -> bool:
    try:
        at = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return False
    return abs(at - now) <= TOLERANCE


def _signature(request: Request, keys: Keys, stamp: str, signed: list[str]) -> str:
    lines = [request.method, _encode(request.path, "/"), _query(request.query)]
    for name in signed:
        lines.append(name + ":" + re.sub(" +", " ", request.headers.get(name, "")).strip())
    lines += ["", ";".join(signed), hashlib.sha256(request.body).hexdigest()]
    scope = [stamp[:8], keys.region, keys.service, "aws4_request"]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, "/".join(scope), digest])
    key = ("AWS4" + keys.secret_access_key).encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _query(query: str) -> str:
    pairs = [item.partition("=") for item in query.split("&") if item]
    coded = [(_encode(unquote(a)), _encode(unquote(b))) for a, _, b in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(coded))


def _encode(text: str, safe: str = "") -> str:
    return quote(text, safe=_UNRESERVED + safe)
