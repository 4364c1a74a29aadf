"""What Alibaba Cloud SMS checks in a request: its signature, then its parameters.

Signature: https://www.alibabacloud.com/help/zh/sdk/product-overview/v3-request-structure-and-signature
Parameters: https://help.aliyun.com/document_detail/419273.html (SendSms)
Errors: https://help.aliyun.com/document_detail/101346.html
"""

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote

import orjson

#: Refusals of the API's own gateway: HTTP status and text. The service behind it answers 200.
GATEWAY: Mapping[str, tuple[int, str]] = {
    "IncompleteSignature": (
        400,
        "The request signature does not conform to Aliyun standards.",
    ),
    "SignatureDoesNotMatch": (
        400,
        "Specified signature is not matched with our calculation.",
    ),
    "SignatureNonceUsed": (400, "Specified signature nonce was used already."),
    "InvalidTimeStamp.Expired": (400, "Specified time stamp or date value is expired."),
    "InvalidAccessKeyId.NotFound": (404, "Specified access key is not found."),
    "InvalidAccessKeyId.Inactive": (403, "Specified access key is disabled."),
    "InvalidAction.NotFound": (404, "Specified api is not found."),
    "InvalidVersion": (400, "Specified parameter Version is not valid."),
    "Throttling.User": (400, "Request was denied due to user flow control."),
    "InternalError": (500, "The request processing has failed due to some unknown error."),
    "ServiceUnavailable": (503, "The request has failed due to a temporary failure."),
}
#: Texts of the service.
TEXTS: Mapping[str, str] = {
    "isv.BUSINESS_LIMIT_CONTROL": "触发分钟级流控Permits:1",
    "isv.MOBILE_NUMBER_ILLEGAL": "手机号码格式错误",
    "isv.MOBILE_COUNT_OVER_LIMIT": "手机号码数量超过限制",
    "isv.SMS_SIGNATURE_ILLEGAL": "短信签名不合法",
    "isv.SMS_TEMPLATE_ILLEGAL": "模板不合法(不存在或被拉黑)",
    "isv.TEMPLATE_MISSING_PARAMETERS": "模板变量缺少对应参数值",
    "isv.INVALID_JSON_PARAM": "参数格式错误",
    "isv.BLACK_KEY_CONTROL_LIMIT": "黑名单管控",
    "isv.CUSTOMER_REFUSED": "用户已退订推广短信",
    "isp.SYSTEM_ERROR": "系统出现错误",
}

VERSION = "2017-05-25"
#: Seconds by which a request's date may be off, either way.
TOLERANCE = 900
#: Nonces that are remembered; then it begins anew.
_NONCES = 100_000
_SEND_LIMIT, _BATCH_LIMIT, _OUT_ID_LIMIT = 1000, 100, 255
_SIGNED = frozenset(
    {
        "host",
        "x-acs-action",
        "x-acs-version",
        "x-acs-date",
        "x-acs-signature-nonce",
        "x-acs-content-sha256",
    }
)
_AUTHORIZATION = re.compile(
    r"ACS3-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)
_HOME = re.compile(r"(?:\+86|0086|86)?(1[3-9]\d{9})", re.ASCII)
_ABROAD = re.compile(r"[1-9]\d{6,14}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came. Keys of `headers` are in lower case."""

    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def parameters(self) -> dict[str, str]:
        """Those of the query and of a form, wherever they stand."""
        is_form = "x-www-form-urlencoded" in self.headers.get("content-type", "")
        form = self.body.decode("utf-8", "replace") if is_form else ""
        pairs = [text for text in (self.query, form) if text]
        return dict(parse_qsl("&".join(pairs), keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """What one number is to get."""

    phone: str
    sign: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What an account may send: signatures, and the variables of templates by their id."""

    signs: Collection[str]
    templates: Mapping[str, Collection[str]]


def signature_fault(
    received: Received, keys: Mapping[str, str], nonces: set[str], *, now: float
) -> str:
    """The code of what is wrong with a request's signature; empty when nothing is.

    keys: secrets by id. nonces: those seen, to which that of a good request is added.
    """
    headers = received.headers
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None or not headers.keys() >= _SIGNED:
        return "IncompleteSignature"
    key_id, names, offered = found.groups()
    if key_id not in keys:
        return "InvalidAccessKeyId.NotFound"
    if not _is_now(headers["x-acs-date"], now):
        return "InvalidTimeStamp.Expired"
    signed = names.split(";")
    if signed != sorted(signed) or not _must_be_signed(received) <= set(signed):
        return "IncompleteSignature"
    expected = signature(received, signed, keys[key_id])
    payload = hashlib.sha256(received.body).hexdigest()
    if payload != headers["x-acs-content-sha256"] or not hmac.compare_digest(expected, offered):
        return "SignatureDoesNotMatch"
    nonce = headers["x-acs-signature-nonce"]
    if nonce in nonces:
        return "SignatureNonceUsed"
    if len(nonces) >= _NONCES:
        nonces.clear()
    nonces.add(nonce)
    return ""


def _must_be_signed(received: Received) -> set[str]:
    names = {name for name in received.headers if name.startswith("x-acs-")} | {"host"}
    return names | {"content-type"} if received.body else names


def _is_now(date: str, now: float) -> bool:
    try:
        at = datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(at.timestamp() - now) <= TOLERANCE


def signature(received: Received, signed: Collection[str], secret: str) -> str:
    """The hexadecimal signature of a POST to `/` by ACS3-HMAC-SHA256."""
    pairs = sorted(parse_qsl(received.query, keep_blank_values=True))
    lines = [
        "POST",
        "/",
        "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs),
        *(f"{name}:{received.headers.get(name, '').strip()}" for name in signed),
        "",
        ";".join(signed),
        received.headers["x-acs-content-sha256"],
    ]
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    content = f"ACS3-HMAC-SHA256\n{digest}".encode()
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def read(received: Received, approved: Approved) -> list[Send] | str:
    """What is to be sent, or the code of the first thing wrong with the parameters."""
    action, parameters = received.headers["x-acs-action"], received.parameters
    if received.headers["x-acs-version"] != VERSION:
        return "InvalidVersion"
    if action not in ("SendSms", "SendBatchSms"):
        return "InvalidAction.NotFound"
    sends = _single(parameters) if action == "SendSms" else _batch(parameters)
    if isinstance(sends, str):
        return sends
    if not parameters.get("TemplateCode"):
        return "MissingTemplateCode"
    if not re.fullmatch(r"\d{0,12}", parameters.get("SmsUpExtendCode", ""), re.ASCII):
        return "isv.EXTEND_CODE_ERROR"
    faults = (_fault(send, parameters["TemplateCode"], approved) for send in sends)
    return next(filter(None, faults), "") or sends


def _single(parameters: Mapping[str, str]) -> list[Send] | str:
    for name in ("PhoneNumbers", "SignName"):
        if not parameters.get(name):
            return f"Missing{name}"
    params = _json(parameters.get("TemplateParam") or "{}")
    if not isinstance(params, dict):
        return "isv.INVALID_JSON_PARAM"
    phones = parameters["PhoneNumbers"].split(",")
    if len(phones) > _SEND_LIMIT:
        return "isv.MOBILE_COUNT_OVER_LIMIT"
    return [Send(phone=one, sign=parameters["SignName"], params=params) for one in phones]


def _batch(parameters: Mapping[str, str]) -> list[Send] | str:
    for name in ("PhoneNumberJson", "SignNameJson"):
        if not parameters.get(name):
            return f"Missing{name}"
    phones, signs = _json(parameters["PhoneNumberJson"]), _json(parameters["SignNameJson"])
    params = _json(parameters.get("TemplateParamJson") or "null")
    extends = _json(parameters.get("SmsUpExtendCodeJson") or "null")
    if not isinstance(phones, list) or not isinstance(signs, list):
        return "isv.INVALID_JSON_PARAM"
    params = [{}] * len(phones) if params is None else params
    extends = [""] * len(phones) if extends is None else extends
    if not isinstance(params, list) or not isinstance(extends, list):
        return "isv.INVALID_JSON_PARAM"
    if len(phones) > _BATCH_LIMIT:
        return "isv.MOBILE_COUNT_OVER_LIMIT"
    if {len(signs), len(params), len(extends)} != {len(phones)}:
        return "isv.INVALID_PARAMETERS"
    if len(parameters.get("OutId", "")) > _OUT_ID_LIMIT:
        return "isv.PARAM_LENGTH_LIMIT"
    if not all(isinstance(one, dict) for one in params):
        return "isv.INVALID_JSON_PARAM"
    return [
        Send(phone=str(phone), sign=str(sign), params=own)
        for phone, sign, own in zip(phones, signs, params, strict=True)
    ]


def _json(text: str) -> Any:
    """The value, or the text itself, which is none of the things that are wanted."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _fault(send: Send, template: str, approved: Approved) -> str:
    if send.sign not in approved.signs:
        return "isv.SMS_SIGNATURE_ILLEGAL"
    if template not in approved.templates:
        return "isv.SMS_TEMPLATE_ILLEGAL"
    if not send.params.keys() >= set(approved.templates[template]):
        return "isv.TEMPLATE_MISSING_PARAMETERS"
    if not all(isinstance(value, str) for value in send.params.values()):
        return "isv.INVALID_JSON_PARAM"
    return "" if e164(send.phone) else "isv.MOBILE_NUMBER_ILLEGAL"


def e164(phone: str) -> str:
    """The number with its country code; empty for one that is none."""
    if found := _HOME.fullmatch(phone):
        return f"+86{found[1]}"
    return f"+{phone}" if _ABROAD.fullmatch(phone) else ""
