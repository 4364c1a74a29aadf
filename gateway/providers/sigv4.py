"""Signatures of requests to Amazon Web Services, version 4, in the Authorization header.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

Canonical paths are those of every service but S3. Knows no provider and does no I/O.
"""

import hmac
import posixpath
import time
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from urllib.parse import SplitResult, quote, urlsplit

from gateway.model import wire
from gateway.model.values import replace

ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs for one service in one region, with one pair of keys."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    #: of temporary credentials; empty for lasting ones
    session_token: str = field(default="", repr=False)
    region: str
    service: str

    def sign(self, request: wire.HttpRequest, *, now_ms: int) -> wire.HttpRequest:
        """The request with all of its headers signed, and Host, which must go out as it is here.

        Its URL is percent-encoded as it will be sent, blanks as `%20`.
        """
        stamp = _stamp(now_ms // 1000)
        url = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers |= {"host": _host(url), "x-amz-date": stamp}
        if self.session_token:
            headers["x-amz-security-token"] = self.session_token
        names = sorted(headers)
        canonical = "\n".join(
            (
                request.method,
                _path(url.path),
                _query(url.query),
                *(f"{name}:{' '.join(headers[name].split())}" for name in names),
                "",
                ";".join(names),
                sha256(request.body).hexdigest(),
            )
        )
        headers["authorization"] = self._authorization(stamp, names, canonical)
        return replace(request, headers=headers)

    def _authorization(self, stamp: str, names: list[str], canonical: str) -> str:
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        digest = sha256(canonical.encode()).hexdigest()
        key = signing_key(self.secret_access_key, stamp[:8], self.region, self.service)
        signature = _mac(key, f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}").hex()
        return (
            f"{ALGORITHM} Credential={self.access_key_id}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature}"
        )


@lru_cache(maxsize=64)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day (`YYYYMMDD`, UTC), region and service; worth keeping for the day."""
    key = _mac(f"AWS4{secret}".encode(), date)
    for part in (region, service, "aws4_request"):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), "sha256").digest()


@lru_cache(maxsize=8)
def _stamp(seconds: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def _host(url: SplitResult) -> str:
    """As it is sent: without the port that goes without saying."""
    host = url.netloc.rpartition("@")[2].lower()
    return host.removesuffix(f":{_DEFAULT_PORTS.get(url.scheme)}")


def _path(path: str) -> str:
    """Without dot segments and doubled slashes, and encoded once more than it will be sent."""
    if not path:
        return "/"
    short = posixpath.normpath("/" + path.lstrip("/"))
    if path.endswith("/") and short != "/":
        short += "/"
    return quote(short, safe="/~")


def _query(query: str) -> str:
    """By name, then by value: `=`, which stands also where nothing follows, has no part in it."""
    pairs = [item.partition("=")[::2] for item in query.split("&") if item]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
