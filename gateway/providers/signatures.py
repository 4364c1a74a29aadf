"""Signatures that clouds want on every request: pure functions of what is sent.

ACS3-HMAC-SHA256 of Alibaba Cloud:
https://www.alibabacloud.com/help/zh/sdk/product-overview/v3-request-structure-and-signature
TC3-HMAC-SHA256 of Tencent Cloud: https://cloud.tencent.com/document/api/382/52072

Both sign the bytes that are sent: nothing may change a request once it is signed.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

ACS3 = "ACS3-HMAC-SHA256"
TC3 = "TC3-HMAC-SHA256"


def encode(parameters: Mapping[str, str]) -> str:
    """The canonical query: sorted by name, everything quoted that RFC 3986 §2.3 does not reserve
    for itself. It does as the body of a form too."""
    pairs = sorted(parameters.items())
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)


def acs3(key_id: str, secret: str, *, query: str, headers: Mapping[str, str]) -> str:
    """Value of Authorization for a POST to `/`.

    query: canonical, as from `encode`. headers: all that are signed, names in lower case; `host`
    and `x-acs-content-sha256` must be among them.
    """
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = f"POST\n/\n{query}\n{lines}\n{names}\n{headers['x-acs-content-sha256']}"
    content = f"{ACS3}\n{sha256(canonical.encode()).hexdigest()}"
    signature = _mac(secret.encode(), content).hex()
    return f"{ACS3} Credential={key_id},SignedHeaders={names},Signature={signature}"


def tc3(
    key_id: str,
    secret: str,
    *,
    service: str,
    timestamp: int,
    headers: Mapping[str, str],
    body: bytes,
) -> str:
    """Value of Authorization for a POST to `/` without a query.

    headers: those that are signed, names and values in lower case. timestamp: Unix seconds, the
    same as in X-TC-Timestamp.
    """
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"POST\n/\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
    date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
    scope = f"{date}/{service}/tc3_request"
    content = f"{TC3}\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"TC3{secret}".encode()
    for step in (date, service, "tc3_request"):
        key = _mac(key, step)
    signature = _mac(key, content).hex()
    return f"{TC3} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"


def _mac(key: bytes, content: str) -> bytes:
    return hmac.digest(key, content.encode(), "sha256")
