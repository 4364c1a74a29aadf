"""What Tencent Cloud SMS means by its codes, of whole calls and of single numbers.

Codes: https://cloud.tencent.com/document/api/382/55981
Frequency: https://www.tencentcloud.com/document/product/382/13303
"""

from collections.abc import Mapping

from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import base, mainland

_THROTTLED = wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED)
_NOT_NOW = wire.Deferred(code="", detail="too many to this number", cause=wire.Cause.RECIPIENT)
_TROUBLE = wire.Deferred(code="", detail="trouble at Tencent")
_REFUSED = wire.Deferred(code="", detail="key or account refused", cause=wire.Cause.CREDENTIAL)
_NUMBER = wire.Rejected(code="", detail="number refused", scope=wire.Scope.RECIPIENT)
_COUNTRY = wire.Rejected(code="", detail="country refused", scope=wire.Scope.PROVIDER)
_TEMPLATE = wire.Rejected(
    code="", detail="signature or template refused", scope=wire.Scope.PROVIDER
)
_CONTENT = wire.Rejected(code="", detail="content refused")
_CALL = wire.Rejected(code="", detail="parameters refused", scope=wire.Scope.PROVIDER)

_FAILED, _LIMIT, _VALUE = "FailedOperation", "LimitExceeded", "InvalidParameterValue"
#: (part before the dot, result, parts after it); the part before alone is in `FAMILIES`.
_GROUPS: tuple[tuple[str, wire.Rejected | wire.Deferred, str], ...] = (
    (_LIMIT, _THROTTLED, "GlobalSmsSendingRateLimit DailyLimit AppDailyLimit"),
    (_LIMIT, _THROTTLED, "AppMainlandChinaDailyLimit AppGlobalDailyLimit"),
    (_LIMIT, _THROTTLED, "AppCountryOrRegionDailyLimit"),
    (_LIMIT, _NOT_NOW, "PhoneNumberThirtySecondLimit PhoneNumberOneHourLimit"),
    (_LIMIT, _NOT_NOW, "PhoneNumberDailyLimit PhoneNumberSameContentDailyLimit"),
    (_LIMIT, _NOT_NOW, "DeliveryFrequencyLimit"),
    (_FAILED, replace(_NOT_NOW, detail="marketing hours"), "MarketingSendTimeConstraint"),
    (_FAILED, _TROUBLE, "OtherError"),
    (_FAILED, _REFUSED, "InsufficientBalanceInSmsPackage"),
    ("InternalError", _REFUSED, "SigVerificationFail SigFieldMissing RequestTimeException"),
    (_VALUE, _NUMBER, "IncorrectPhoneNumber"),
    (_FAILED, _NUMBER, "PhoneNumberParseFail"),
    (_LIMIT, _NUMBER, "PhoneNumberCountLimit"),
    ("MissingParameter", _NUMBER, "EmptyPhoneNumberSet"),
    (_LIMIT, _COUNTRY, "AppCountryOrRegionInBlacklist"),
    (_FAILED, _TEMPLATE, "SignatureIncorrectOrUnapproved SignIdNotExist TemplateIdNotExist"),
    (_FAILED, _TEMPLATE, "TemplateIncorrectOrUnapproved TemplateUnapprovedOrNotExist"),
    (_FAILED, _TEMPLATE, "TemplateParamSetNotMatchApprovedTemplate"),
    (_VALUE, _TEMPLATE, "TemplateParameterFormatError TemplateParameterLengthLimit"),
    (_VALUE, _TEMPLATE, "ProhibitedUseUrlInTemplateParameter SdkAppIdNotExist"),
    (_VALUE, _TEMPLATE, "MarketingTemplateWithoutUnsubscribe"),
    (_FAILED, _CONTENT, "ContainSensitiveWord FailResolvePacket JsonParseFail"),
    (_FAILED, _CONTENT, "ParametersOtherError"),
    (_VALUE, _CONTENT, "ContentLengthLimit"),
    ("InternalError", _CONTENT, "JsonParseFail RestApiInterfaceNotExist"),
    (
        _FAILED,
        wire.Rejected(
            code="", detail="opted out", scope=wire.Scope.RECIPIENT, suppress=True, opted_out=True
        ),
        "PhoneNumberInBlacklist",
    ),
)
RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    f"{family}.{rest}": result for family, result, codes in _GROUPS for rest in codes.split()
}
#: By the part before the first dot, for codes that are not in the table.
FAMILIES: Mapping[str, wire.Rejected | wire.Deferred] = {
    "RequestLimitExceeded": _THROTTLED,
    "InternalError": _TROUBLE,
    "ResourceUnavailable": _TROUBLE,
    "AuthFailure": _REFUSED,
    "UnauthorizedOperation": _REFUSED,
    "UnsupportedOperation": _COUNTRY,
    # Without its template a message says too little for this service, not for another.
    "MissingParameter": _CALL,
    "InvalidParameter": _CONTENT,
    "InvalidParameterValue": _CONTENT,
}

#: Seconds that a number must be left alone.
_WAITS: Mapping[str, float] = {
    "LimitExceeded.PhoneNumberThirtySecondLimit": 30.0,
    "LimitExceeded.PhoneNumberOneHourLimit": 3600.0,
    "LimitExceeded.PhoneNumberDailyLimit": 86_400.0,
    "LimitExceeded.PhoneNumberSameContentDailyLimit": 86_400.0,
}
#: When Beijing's clock ends a limit: at midnight, or when marketing may begin.
_UNTIL: Mapping[str, int] = {
    "LimitExceeded.DailyLimit": 0,
    "LimitExceeded.AppDailyLimit": 0,
    "LimitExceeded.AppMainlandChinaDailyLimit": 0,
    "LimitExceeded.AppGlobalDailyLimit": 0,
    "LimitExceeded.AppCountryOrRegionDailyLimit": 0,
    "FailedOperation.MarketingSendTimeConstraint": 8,
}

#: Not one number's hours, but those of the template that the whole call has.
_MARKETING = "FailedOperation.MarketingSendTimeConstraint"

#: Operators' words in reports, of the many that they use.
EVENTS: Mapping[str, tuple[wire.ReceiptEvent, str]] = {
    "EXPIRED": (wire.ReceiptEvent.EXPIRED, "not delivered in time"),
    "REJECTD": (wire.ReceiptEvent.FAILED, "refused by the operator"),
}


def result_of(code: str, *, now_ms: int) -> wire.Rejected | wire.Deferred | None:
    """What a code other than `Ok` means; None for one that is in no table."""
    known = RESULTS.get(code) or FAMILIES.get(code.partition(".")[0])
    if isinstance(known, wire.Deferred):
        wait = _WAITS.get(code)
        if code in _UNTIL:
            wait = mainland.until_hour(_UNTIL[code], now_ms=now_ms)
        return replace(known, code=code, retry_after=wait)
    return replace(known, code=code) if known else None


def of_call(code: str, response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    """What an answer means that speaks of no number: by its code, else by its status.

    A limit that is in no table and stops the whole call is the account's.
    """
    known = result_of(code, now_ms=now_ms)
    if known is not None:
        return known
    by_status = base.result_of_status(response, now_ms=now_ms)
    if not isinstance(by_status, wire.Accepted):
        return replace(by_status, code=code or by_status.code)
    if code.startswith("LimitExceeded"):
        return replace(_THROTTLED, code=code)
    if code:
        return wire.Rejected(code=code, scope=wire.Scope.PROVIDER)
    return wire.Unknown(code=f"http_{response.status}", detail="answer without Response")


def of_number(code: str, *, now_ms: int) -> wire.AttemptResult:
    """What the code of one number means, other than `Ok`."""
    known = result_of(code, now_ms=now_ms)
    if known is not None:
        return known
    if code.startswith("LimitExceeded"):
        return replace(_NOT_NOW, code=code)
    if code:
        return wire.Rejected(code=code, scope=wire.Scope.PROVIDER)
    return wire.Unknown(code="no_code", detail="number without Code")


def blames_one(result: wire.AttemptResult) -> bool:
    """Whether a whole call may have been refused for one of its numbers."""
    if isinstance(result, wire.Rejected):
        return result.scope is wire.Scope.RECIPIENT
    return (
        isinstance(result, wire.Deferred)
        and result.cause is wire.Cause.RECIPIENT
        and result.code != _MARKETING
    )
