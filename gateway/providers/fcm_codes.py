"""What FCM's answers mean for us.

https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
https://firebase.google.com/docs/cloud-messaging/error-codes
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import auth, base

Json: TypeAlias = Mapping[str, Any]

#: Seconds to wait after a project's or topic's quota without Retry-After (docs: scale-fcm).
QUOTA_PAUSE = 60.0
_TYPE = "type.googleapis.com/"
_FCM_ERROR = _TYPE + "google.firebase.fcm.v1.FcmError"

_THROTTLED = wire.Cause.THROTTLED
_GONE = wire.Rejected(code="", detail="token gone", scope=wire.Scope.RECIPIENT, suppress=True)
_REFUSED = wire.Deferred(code="", cause=wire.Cause.CREDENTIAL)
#: By FcmError.errorCode, else google.rpc.Code. INVALID_ARGUMENT is told apart below.
RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    "UNREGISTERED": _GONE,
    "SENDER_ID_MISMATCH": replace(_GONE, detail="token of another project", doubtful=True),
    "THIRD_PARTY_AUTH_ERROR": replace(_REFUSED, detail="key for APNs or web push"),
    "APNS_AUTH_ERROR": replace(_REFUSED, detail="key for APNs"),  # its older name
    "UNAUTHENTICATED": _REFUSED,
    "PERMISSION_DENIED": replace(_REFUSED, detail="API disabled or role missing"),
    "NOT_FOUND": wire.Rejected(code="", detail="no such project", scope=wire.Scope.PROVIDER),
    **dict.fromkeys(
        ("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED"), wire.Deferred(code="", cause=_THROTTLED)
    ),
    **dict.fromkeys(("INTERNAL", "UNAVAILABLE", "UNSPECIFIED_ERROR"), wire.Deferred(code="")),
}
#: Our token, which the dispatcher renews once before it takes this for an answer.
TOKEN_REFUSED = "access_token"
#: What an answer without a readable body stands for.
STATUSES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


def read(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    """What became of one message."""
    answer = auth.json_object(response.body)
    if 200 <= response.status < 300:
        name = answer.get("name")
        if isinstance(name, str) and name:
            return wire.Accepted(provider_id=name)
        return wire.Unknown(code=f"http_{response.status}", detail="answer without name")
    error = answer.get("error")
    error = error if isinstance(error, dict) else {}
    code = _error_code(error) or STATUSES.get(response.status, "")
    if code == "INVALID_ARGUMENT":
        return _invalid(error)
    if code not in RESULTS:
        return base.result_of_status(response, now_ms=now_ms)
    known = replace(RESULTS[code], code=TOKEN_REFUSED if code == "UNAUTHENTICATED" else code)
    if isinstance(known, wire.Deferred):
        return _deferred(known, error, wait=base.retry_after(response, now_ms=now_ms))
    return known


def _objects(value: object) -> list[Json]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _details(error: Json, kind: str) -> list[Json]:
    return [row for row in _objects(error.get("details")) if row.get("@type") == kind]


def _violations(error: Json, kind: str, name: str) -> list[Json]:
    return [row for detail in _details(error, _TYPE + kind) for row in _objects(detail.get(name))]


def _error_code(error: Json) -> str:
    codes = [detail.get("errorCode") for detail in _details(error, _FCM_ERROR)]
    return next((code for code in [*codes, error.get("status")] if isinstance(code, str)), "")


def _invalid(error: Json) -> wire.Rejected:
    """A malformed token or a bad payload: they share a code, and only the first is the device's."""
    rows = _violations(error, "google.rpc.BadRequest", "fieldViolations")
    fields = [str(row.get("field", ""))[:60] for row in rows]
    names_token = "registration token" in str(error.get("message", "")).lower()
    by_fcm = bool(_details(error, _FCM_ERROR))
    if fields == ["message.token"] or (by_fcm and not rows and names_token):
        return replace(_GONE, code="INVALID_ARGUMENT", detail="token malformed")
    return wire.Rejected(code="INVALID_ARGUMENT", detail=", ".join(fields[:3]))


def _deferred(known: wire.Deferred, error: Json, *, wait: float | None) -> wire.Deferred:
    if known.cause is not _THROTTLED:
        return replace(known, retry_after=wait)
    rows = _violations(error, "google.rpc.QuotaFailure", "violations")
    if any("device" in str(row).lower() for row in rows):
        return replace(known, detail="device rate", cause=wire.Cause.RECIPIENT, retry_after=wait)
    return replace(known, retry_after=QUOTA_PAUSE if wait is None else wait)
