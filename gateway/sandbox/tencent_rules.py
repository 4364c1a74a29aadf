"""What Tencent Cloud SMS checks in a request: its signature, then its fields.

Signature: https://cloud.tencent.com/document/api/382/52072
Fields and codes: https://cloud.tencent.com/document/api/382/55981
"""

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import phonenumbers

VERSION = "2021-01-11"
#: Seconds by which a request's timestamp may be off, either way.
TOLERANCE = 300
_NUMBER_LIMIT, _CONTEXT_LIMIT = 200, 511

TEXTS: Mapping[str, str] = {
    "Ok": "send success",
    "AuthFailure.SignatureExpire": "The signature is expired.",
    "AuthFailure.SignatureFailure": "The provided credentials could not be validated.",
    "AuthFailure.SecretIdNotFound": "The SecretId is not found.",
    "RequestLimitExceeded": "The number of requests exceeds the frequency limit.",
    "InternalError.Timeout": "The request timed out.",
    "FailedOperation.TemplateParamSetNotMatchApprovedTemplate": (
        "template params do not match the approved template"
    ),
    "InvalidParameterValue.IncorrectPhoneNumber": "incorrect phone number",
}
_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=([^/,]+)/(\d{4}-\d\d-\d\d)/sms/tc3_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
    re.ASCII,
)
_NUMBER = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_HOME = re.compile(r"(?:\+86|0086|86)?(1[3-9]\d{9})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came. Keys of `headers` are in lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an account has: its application, signatures, and the variables of each template."""

    app_id: str
    signs: Collection[str]
    templates: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A number as it was given, and what it is; `e164` is empty for none."""

    given: str
    e164: str = ""
    nation: str = ""
    mobile: str = ""
    iso: str = ""


def signature_fault(received: Received, keys: Mapping[str, str], *, now: float) -> str:
    """The code of what is wrong with a request's signature; empty when nothing is."""
    headers = received.headers
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    timestamp = headers.get("x-tc-timestamp", "")
    if found is None or not re.fullmatch(r"\d{1,11}", timestamp, re.ASCII):
        return "AuthFailure.SignatureFailure"
    key_id, date, names, offered = found.groups()
    if key_id not in keys:
        return "AuthFailure.SecretIdNotFound"
    if abs(int(timestamp) - now) > TOLERANCE:
        return "AuthFailure.SignatureExpire"
    signed = names.split(";")
    utc_date = datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%d")
    if date != utc_date or signed != sorted(signed) or not {"content-type", "host"} <= set(signed):
        return "AuthFailure.SignatureFailure"
    expected = signature(received, signed, keys[key_id], date=date)
    return "" if hmac.compare_digest(expected, offered) else "AuthFailure.SignatureFailure"


def signature(received: Received, signed: Collection[str], secret: str, *, date: str) -> str:
    """The hexadecimal signature of a POST to `/` by TC3-HMAC-SHA256."""
    headers = received.headers
    lines = [
        "POST",
        "/",
        "",
        *(f"{name}:{headers.get(name, '').strip().lower()}" for name in signed),
        "",
        ";".join(signed),
        hashlib.sha256(received.body).hexdigest(),
    ]
    canonical = "\n".join(lines).encode("utf-8", "surrogateescape")
    scope = f"{date}/sms/tc3_request"
    digest = hashlib.sha256(canonical).hexdigest()
    content = f"TC3-HMAC-SHA256\n{headers['x-tc-timestamp']}\n{scope}\n{digest}"
    date_key = hmac.new(b"TC3" + secret.encode(), date.encode(), hashlib.sha256).digest()
    service_key = hmac.new(date_key, b"sms", hashlib.sha256).digest()
    key = hmac.new(service_key, b"tc3_request", hashlib.sha256).digest()
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


def read(received: Received, account: Account) -> dict[str, Any] | str:
    """The fields, or the code of what is wrong with the whole call."""
    headers = received.headers
    if headers.get("x-tc-action") != "SendSms":
        return "InvalidAction"
    if headers.get("x-tc-version") != VERSION:
        return "NoSuchVersion"
    if not headers.get("x-tc-region"):
        return "MissingParameter"
    try:
        fields = orjson.loads(received.body)
    except orjson.JSONDecodeError:
        return "FailedOperation.JsonParseFail"
    if not isinstance(fields, dict):
        return "FailedOperation.JsonParseFail"
    return _fault(fields, account) or fields


def _fault(fields: Mapping[str, Any], account: Account) -> str:
    phones = fields.get("PhoneNumberSet")
    if not phones:
        return "MissingParameter.EmptyPhoneNumberSet"
    for name in ("SmsSdkAppId", "TemplateId"):
        if name not in fields:
            return "MissingParameter"
    if not _has_types(fields):
        return "InvalidParameter"
    if len(phones) > _NUMBER_LIMIT:
        return "LimitExceeded.PhoneNumberCountLimit"
    if len(fields.get("SessionContext", "").encode()) > _CONTEXT_LIMIT:
        return "InvalidParameterValue.SessionContextTooLong"
    if fields["SmsSdkAppId"] != account.app_id:
        return "UnauthorizedOperation.SmsSdkAppIdVerifyFail"
    if len({phone(one).nation == "86" for one in phones if phone(one).e164}) > 1:
        return "UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber"
    return ""


def _has_types(fields: Mapping[str, Any]) -> bool:
    texts = ("SmsSdkAppId", "TemplateId", "SignName", "SessionContext", "ExtendCode", "SenderId")
    lists = ("PhoneNumberSet", "TemplateParamSet")
    return all(isinstance(fields.get(name, ""), str) for name in texts) and all(
        isinstance(fields.get(name, []), list)
        and all(isinstance(one, str) for one in fields.get(name, []))
        for name in lists
    )


def refusal(fields: Mapping[str, Any], to: Phone, account: Account) -> str:
    """The code of why one number gets nothing; empty when it does."""
    if not to.e164:
        return "InvalidParameterValue.IncorrectPhoneNumber"
    if (to.nation == "86" or fields.get("SignName")) and fields.get(
        "SignName", ""
    ) not in account.signs:
        return "FailedOperation.SignatureIncorrectOrUnapproved"
    wanted = account.templates.get(fields["TemplateId"])
    if wanted is None:
        return "FailedOperation.TemplateIncorrectOrUnapproved"
    if len(fields.get("TemplateParamSet", [])) != wanted:
        return "FailedOperation.TemplateParamSetNotMatchApprovedTemplate"
    return ""


def phone(given: str) -> Phone:
    """What a number is; one without prefix that looks like a mobile at home is one."""
    if found := _HOME.fullmatch(given):
        mobile = found[1]
        return Phone(given=given, e164=f"+86{mobile}", nation="86", mobile=mobile, iso="CN")
    if not _NUMBER.fullmatch(given):
        return Phone(given=given)
    try:
        parsed = phonenumbers.parse(given)
    except phonenumbers.NumberParseException:
        return Phone(given=given)
    nation = str(parsed.country_code)
    iso = phonenumbers.region_code_for_number(parsed) or ""
    mobile = given.removeprefix(f"+{nation}")
    return Phone(given=given, e164=given, nation=nation, mobile=mobile, iso=iso)
