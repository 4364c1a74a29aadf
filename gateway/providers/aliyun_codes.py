"""What Alibaba Cloud SMS means by its codes, in answers and in reports.

Answers: https://help.aliyun.com/document_detail/101346.html
Reports: https://help.aliyun.com/document_detail/101347.html
Flow control: https://help.aliyun.com/document_detail/44335.html
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import base, mainland

Refusal: TypeAlias = wire.Rejected | wire.Deferred | wire.Unknown

_THROTTLED = wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED)
_TROUBLE = wire.Deferred(code="", detail="trouble at Aliyun or the operator")
_REFUSED = wire.Deferred(code="", detail="key or account refused", cause=wire.Cause.CREDENTIAL)
_NUMBER = wire.Rejected(code="", detail="number refused", scope=wire.Scope.RECIPIENT)
_TEMPLATE = wire.Rejected(
    code="", detail="signature or template refused", scope=wire.Scope.PROVIDER
)
_CONTENT = wire.Rejected(code="", detail="content refused")
_CALL = wire.Rejected(code="", detail="call refused", scope=wire.Scope.PROVIDER)

#: Codes by what they mean to us; those that begin with a dot have `isv` in front.
_GROUPS: tuple[tuple[wire.Rejected | wire.Deferred, str], ...] = (
    (_THROTTLED, ".DAY_LIMIT_CONTROL .MONTH_LIMIT_CONTROL QPS_LIMIT_CONTROL"),
    (_THROTTLED, "Throttling Throttling.User Throttling.Api"),
    # One number's limit with one signature: no reason to pause the account.
    (replace(_THROTTLED, cause=wire.Cause.RECIPIENT), ".BUSINESS_LIMIT_CONTROL"),
    (_TROUBLE, "isp.SYSTEM_ERROR isp.GATEWAY_ERROR IS_CLOSE InternalError ServiceUnavailable"),
    (_REFUSED, "SignatureDoesNotMatch IncompleteSignature InvalidTimeStamp.Expired"),
    (_REFUSED, "InvalidAccessKeyId.NotFound InvalidAccessKeyId.Inactive"),
    (_REFUSED, "isp.RAM_PERMISSION_DENY .DENY_IP_RANGE"),
    (_REFUSED, ".OUT_OF_SERVICE .AMOUNT_NOT_ENOUGH .PRODUCT_UN_SUBSCRIPT .PRODUCT_UNSUBSCRIBE"),
    (_REFUSED, ".ACCOUNT_NOT_EXISTS .ACCOUNT_ABNORMAL .SECURITY_FROZEN_ACCOUNT"),
    (_NUMBER, ".MOBILE_NUMBER_ILLEGAL .MOBILE_COUNT_OVER_LIMIT"),
    # The number is good, only the template is one for abroad.
    (replace(_NUMBER, scope=wire.Scope.PROVIDER), ".DOMESTIC_NUMBER_NOT_SUPPORTED"),
    (_TEMPLATE, ".SMS_SIGNATURE_ILLEGAL .SMS_SIGN_ILLEGAL .SIGN_STATE_ILLEGAL"),
    (_TEMPLATE, ".SMS_TEMPLATE_ILLEGAL .SMS_SIGNATURE_SCENE_ILLEGAL SIGNATURE_BLACKLIST"),
    (_TEMPLATE, ".TEMPLATE_MISSING_PARAMETERS .TEMPLATE_PARAMS_ILLEGAL"),
    (_CONTENT, ".SMS_CONTENT_ILLEGAL .BLACK_KEY_CONTROL_LIMIT .PARAM_LENGTH_LIMIT"),
    (_CONTENT, ".PARAM_NOT_SUPPORT_URL .INVALID_JSON_PARAM .INVALID_PARAMETERS"),
    (_CONTENT, ".UNSUPPORTED_CONTENT .EXTEND_CODE_ERROR PARAMS_ILLEGAL"),
    (_CALL, "InvalidAction.NotFound InvalidVersion"),
    (replace(_NUMBER, detail="opted out", suppress=True, opted_out=True), ".CUSTOMER_REFUSED"),
)
RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    f"isv{code}" if code.startswith(".") else code: result
    for result, codes in _GROUPS
    for code in codes.split()
}
#: For codes that are in no table, the first that fits: `isp.` is the service's fault, `isv.` ours.
PREFIXES: Sequence[tuple[str, wire.Rejected | wire.Deferred]] = (
    ("Throttling.", _THROTTLED),
    ("Missing", _CALL),
    ("isv.SMS_TEST_", _TEMPLATE),
    ("isp.", _TROUBLE),
    ("isv.", _CONTENT),
)
#: This very request came before, over a line that broke perhaps, and may have been taken then.
REPLAYED = "SignatureNonceUsed"

#: Refusals of a batch that are about all of it …
_OF_THE_CALL = frozenset({"isv.SMS_TEMPLATE_ILLEGAL", "isv.DOMESTIC_NUMBER_NOT_SUPPORTED"})
#: … and those that are where it has one signature.
_OF_THE_SIGN = frozenset(
    {
        "isv.SMS_SIGNATURE_ILLEGAL",
        "isv.SMS_SIGN_ILLEGAL",
        "isv.SIGN_STATE_ILLEGAL",
        "isv.SMS_SIGNATURE_SCENE_ILLEGAL",
        "SIGNATURE_BLACKLIST",
    }
)

_FAILED, _OPTED_OUT = wire.ReceiptEvent.FAILED, wire.ReceiptEvent.OPTED_OUT
#: By err_code of a report without success: our event, and what it says in our words.
EVENTS: Mapping[str, tuple[wire.ReceiptEvent, str]] = {
    "REQUEST_SUCCESS": (wire.ReceiptEvent.SENT, ""),
    "USER_REJECT": (_OPTED_OUT, "opted out"),
    "MOBILE_IN_BLACK": (_OPTED_OUT, "opted out"),
    "CONTENT_KEYWORD": (_FAILED, "content refused"),
    "CONTENT_ERROR": (_FAILED, "content refused: it may lack how to opt out"),
    "PORT_NOT_REGISTERED": (_FAILED, "sender refused"),
    "MOBILE_SEND_LIMIT": (_FAILED, "too many to this number"),
    "MOBILE_NOT_ON_SERVICE": (_FAILED, "handset not in service"),
    "MOBLLE_TERMINAL_ERROR": (_FAILED, "handset not ready"),
    "INVALID_NUMBER": (_FAILED, "no such number"),
    "MOBILE_ACCOUNT_ABNORMAL": (_FAILED, "number cannot be reached"),
    "NO_ROUTE": (_FAILED, "number cannot be reached"),
    "SP_NOT_BY_INTER_SMS": (_FAILED, "number takes nothing from abroad"),
    "SP_UNKNOWN_ERROR": (_FAILED, ""),
}
#: The number does not exist; the other failures may pass.
DEAD = "INVALID_NUMBER"
#: `Status` of reports on messages abroad.
STATUSES = {
    "1": wire.ReceiptEvent.DELIVERED,
    "2": wire.ReceiptEvent.FAILED,
    "6": wire.ReceiptEvent.EXPIRED,
}


def refusal(answer: Mapping[str, Any], response: wire.HttpResponse, *, now_ms: int) -> Refusal:
    """What an answer without `OK` means, by its code, else by its status."""
    code = mainland.code_of(answer.get("Code"))
    if code == REPLAYED:
        return wire.Unknown(code=code, detail="the same request came before")
    known = RESULTS.get(code) or next((it for text, it in PREFIXES if code.startswith(text)), None)
    if isinstance(known, wire.Deferred):
        wait = _wait(code, str(answer.get("Message")), response, now_ms=now_ms)
        return replace(known, code=code, retry_after=wait)
    if known is not None:
        return replace(known, code=code)
    by_status = base.result_of_status(response, now_ms=now_ms)
    if not isinstance(by_status, wire.Accepted):
        return replace(by_status, code=code or by_status.code)
    if code:  # a business refusal, which comes with 200, for a reason that is in no table
        return wire.Rejected(code=code, scope=wire.Scope.PROVIDER)
    return wire.Unknown(code=f"http_{response.status}", detail="answer without Code")


def blames_one(result: Refusal, *, signs: int) -> bool:
    """Whether a batch may have been refused for one of its numbers, signatures or texts.

    signs: how many different signatures it has.
    """
    if not isinstance(result, wire.Rejected):
        return isinstance(result, wire.Deferred) and result.cause is wire.Cause.RECIPIENT
    if result.code in _OF_THE_SIGN:
        return signs > 1
    return result.code not in _OF_THE_CALL and result.detail != _CALL.detail


def _wait(code: str, text: str, response: wire.HttpResponse, *, now_ms: int) -> float | None:
    """Seconds until a limit ends, by Beijing's clock; None when nobody says."""
    if code == "isv.DAY_LIMIT_CONTROL":
        return mainland.until_hour(0, now_ms=now_ms)
    if code == "isv.MONTH_LIMIT_CONTROL":
        return mainland.until_next_month(now_ms=now_ms)
    if code == "isv.BUSINESS_LIMIT_CONTROL":
        for window, seconds in (("分钟级", 60), ("小时级", 3600)):
            if window in text:
                return seconds - now_ms / 1000 % seconds
        return 86_400.0 if "天级" in text else None
    told = response.headers.get("x-acs-retry-after", "")
    if re.fullmatch(r"[0-9]{1,12}", told):
        return int(told) / 1000
    return base.retry_after(response, now_ms=now_ms)
