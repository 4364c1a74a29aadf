"""What services of push, chat and RCS say of a message, line by line as their documentation has it.

Each line: status and body of an answer, and the class of what it means for us.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
import pytest

from gateway.model import wire

Line = tuple[int, Any, str]

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
SUBSCRIPTION = (
    '{"endpoint": "https://updates.push.services.mozilla.com/wpush/v2/a", "keys": {"p256dh": '
    '"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", '
    '"auth": "BTBZMqHH6r4Tts7J_aSIgg"}}'
)


def apns(status: int, result: str, *reasons: str) -> list[Line]:
    return [(status, {"reason": one}, result) for one in reasons]


def fcm(status: int, state: str, code: str, result: str, **more: Any) -> Line:
    details = [{"@type": FCM_ERROR, "errorCode": code}] if code else []
    details += more.pop("details", [])
    error = {"code": status, "status": state, "details": details, "message": "x", **more}
    return status, {"error": error}, result


def coded(name: str, result: str, *codes: int, status: int = 200, **more: Any) -> list[Line]:
    return [(status, {name: one, **more}, result) for one in codes]


def told(result: str, *words: str, status: int = 200, name: str = "") -> list[Line]:
    """Words that are the whole body, or the value of one name."""
    return [(status, {"ok": False, name: one} if name else one, result) for one in words]


def telegram(code: int, result: str, *words: str, **more: Any) -> list[Line]:
    return [
        (code, {"ok": False, "error_code": code, "description": one, **more}, result)
        for one in words
    ]


def statuses(result: str, *codes: int) -> list[Line]:
    return [(one, "", result) for one in codes]


def jpush(result: str, *codes: int, status: int = 400) -> list[Line]:
    return [(status, {"error": {"code": one, "message": "x"}}, result) for one in codes]


def google(result: str, status: int, state: str) -> list[Line]:
    return [(status, {"error": {"code": status, "message": "x", "status": state}}, result)]


def getui(status: int, code: int, result: str, words: str = "x", **data: str) -> Line:
    return status, {"code": code, "msg": words, "data": {"task": data}}, result


CLASSES: Mapping[str, Sequence[Line]] = {
    "apns": [
        *statuses("accepted", 200),
        *apns(400, "permanent", "BadCollapseId", "BadExpirationDate", "BadMessageId"),
        *apns(400, "permanent", "BadPriority", "InvalidPushType", "DuplicateHeaders"),
        *apns(400, "permanent", "PayloadEmpty", "MissingDeviceToken"),
        *apns(400, "suppress", "BadDeviceToken", "DeviceTokenNotForTopic"),
        *apns(400, "auth", "BadTopic", "MissingTopic", "TopicDisallowed"),
        *apns(400, "retryable", "IdleTimeout"),
        *apns(403, "auth", "ExpiredProviderToken", "InvalidProviderToken", "MissingProviderToken"),
        *apns(403, "auth", "BadEnvironmentKeyIdInToken", "BadEnvironmentKeyInToken"),
        *apns(403, "auth", "UnrelatedKeyIdInToken", "BadCertificate", "BadCertificateEnvironment"),
        *apns(403, "auth", "Forbidden"),
        *apns(404, "permanent", "BadPath"),
        *apns(405, "permanent", "MethodNotAllowed"),
        *apns(410, "suppress", "Unregistered", "ExpiredToken"),
        *apns(413, "permanent", "PayloadTooLarge"),
        *apns(429, "recipient", "TooManyRequests"),
        *apns(429, "throttled", "TooManyProviderTokenUpdates"),
        *apns(500, "retryable", "InternalServerError"),
        *apns(503, "retryable", "ServiceUnavailable", "Shutdown"),
        *apns(400, "permanent", "FeatureNotEnabled", "MissingChannelId", "TopicMismatch"),
        *apns(500, "retryable", "SomethingNew"),
    ],
    "fcm": [
        (200, {"name": "projects/p/messages/1"}, "accepted"),
        fcm(
            400,
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            "suppress",
            message="The registration token is not a valid FCM registration token",
        ),
        fcm(
            400,
            "INVALID_ARGUMENT",
            "",
            "permanent",
            details=[{"@type": BAD_REQUEST, "fieldViolations": [{"field": "message.data"}]}],
        ),
        fcm(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "auth"),
        fcm(401, "UNAUTHENTICATED", "APNS_AUTH_ERROR", "auth"),
        fcm(401, "UNAUTHENTICATED", "", "token"),
        fcm(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "suppress"),
        fcm(403, "PERMISSION_DENIED", "", "auth"),
        fcm(404, "NOT_FOUND", "UNREGISTERED", "suppress"),
        fcm(404, "NOT_FOUND", "", "account"),
        fcm(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "throttled"),
        fcm(500, "INTERNAL", "INTERNAL", "retryable"),
        fcm(503, "UNAVAILABLE", "UNAVAILABLE", "retryable"),
        fcm(500, "UNKNOWN", "UNSPECIFIED_ERROR", "retryable"),
    ],
    "getui": [
        getui(200, 0, "accepted", **{"device-token": "successed_online"}),
        getui(200, 0, "accepted", **{"device-token": "successed_offline"}),
        getui(200, 0, "suppress", **{"device-token": "successed_ignore"}),
        getui(401, 10001, "token"),
        getui(401, 10002, "auth"),
        getui(401, 10004, "auth"),
        getui(401, 10003, "throttled"),
        getui(401, 10005, "throttled"),
        getui(400, 20001, "suppress", "target user is invalid"),
        getui(400, 20001, "permanent", "body"),
        *statuses("auth", 403),
        getui(200, 301, "account"),
        getui(200, 1, "permanent"),
        getui(200, 2, "retryable"),
        *statuses("permanent", 404, 405),
        *statuses("retryable", 500, 502, 503, 504),
    ],
    "huawei": [
        (200, {"code": "80000000", "msg": "Success", "requestId": "1"}, "accepted"),
        (
            200,
            {
                "code": "80100000",
                "msg": '{"illegalTokens":{"tokenFormatError":["device-token"]},"failure":1}',
                "requestId": "1",
            },
            "suppress",
        ),
        *coded("code", "suppress", 80300007),
        *coded("code", "permanent", 80100001, 80100002, 80100003, 80100004, 80100013, 80100016),
        *coded("code", "permanent", 80100018, 80300008, 80100017, 80300010),
        *coded("code", "token", 80200001, 80200003, 80200005),
        *coded("code", "retryable", 80600003, 81000001),
        *coded("code", "auth", 80300002, 80300011),
        *statuses("retryable", 500, 502),
        *statuses("throttled", 503),
        *statuses("token", 401),
        *statuses("account", 404),
    ],
    "jpush": [
        (200, {"sendno": "1", "msg_id": "1799597405"}, "accepted"),
        *statuses("auth", 401),
        *jpush("auth", 1004, 1008),
        *jpush("permanent", 1001, 1002, 1003, 1005, 1010, 1012),
        *jpush("suppress", 1011),
        *statuses("permanent", 403, 404, 405, 410),
        *statuses("throttled", 429),
        *jpush("throttled", 2002, status=429),
        *statuses("retryable", 500, 502, 503, 504),
        *jpush("retryable", 1000, 1030, status=500),
    ],
    "rcs_5g": [
        *statuses("accepted", 200, 201, 202),
        *statuses("auth", 401, 403),
        *statuses("throttled", 429),
        *statuses("retryable", 500, 502, 503, 504),
        *statuses("permanent", 400, 404, 405, 413, 415),
    ],
    "rcs_google": [
        (200, {"name": "phones/+15005550001/agentMessages/1"}, "accepted"),
        *google("permanent", 400, "INVALID_ARGUMENT"),
        *google("token", 401, "UNAUTHENTICATED"),
        *google("auth", 403, "PERMISSION_DENIED"),
        *google("address", 404, "NOT_FOUND"),
        *google("throttled", 429, "RESOURCE_EXHAUSTED"),
        *google("retryable", 500, "INTERNAL"),
        *google("retryable", 503, "UNAVAILABLE"),
        *google("retryable", 504, "DEADLINE_EXCEEDED"),
        *statuses("permanent", 400),
        *statuses("token", 401),
        *statuses("auth", 403),
        *statuses("address", 404),
        *statuses("throttled", 429),
        *statuses("retryable", 500, 503, 504),
    ],
    "webpush": [
        *statuses("accepted", 200, 201, 202),
        *statuses("recipient", 301, 307, 308),
        *statuses("permanent", 400, 413),
        *statuses("recipient", 401, 403),
        *statuses("suppress", 404, 410),
        *statuses("throttled", 429),
        *statuses("retryable", 500, 502, 503, 504),
    ],
    "wechat": [
        (200, {"errcode": 0, "errmsg": "ok", "msgid": 200228332}, "accepted"),
        *coded("errcode", "retryable", -1),
        *coded("errcode", "token", 40001, 40014, 42001),
        *coded("errcode", "auth", 40013, 40125, 40164, 41001, 41002, 41004, 61003, 61007),
        *coded("errcode", "auth", 48001, 48004, 48008, 50001, 50002),
        *coded("errcode", "suppress", 40003),
        *coded("errcode", "opted out", 43004, 50005, 43019, 48002),
        *coded("errcode", "address", 43101),
        *coded("errcode", "account", 40037, 40036, 45026, 45027),
        *coded("errcode", "permanent", 47001, 47003, 40033, 40035, 40038, 40039, 41009),
        *coded("errcode", "permanent", 44002, 45002, 43002, 45168),
        *coded("errcode", "throttled", 45009, 45011),
    ],
    "wecom": [
        (200, {"errcode": 0, "errmsg": "ok", "msgid": "x"}, "accepted"),
        (200, {"errcode": 0, "errmsg": "ok", "invaliduser": "lilei"}, "suppress"),
        (200, {"errcode": 0, "errmsg": "ok", "unlicenseduser": "lilei"}, "address"),
        *coded("errcode", "retryable", -1),
        *coded("errcode", "token", 40014, 42001, 41001),
        *coded("errcode", "auth", 40001, 40013, 40091, 41002, 41004),
        *coded("errcode", "auth", 40056, 41011, 301002, 50003, 48002, 48004, 60020),
        *coded("errcode", "throttled", 45009, 45033),
        *coded("errcode", "suppress", 81013, 82001, 40003, 40031, 46004, 60111, 301021, 43004),
        *coded("errcode", "address", 60011, 50002),
        *coded("errcode", "permanent", 40032, 82002, 82003),
        *coded("errcode", "permanent", 40007, 40008, 40033, 40035, 40058, 40063, 41006, 41016),
        *coded("errcode", "permanent", 41033, 44004, 45002, 45008, 85002),
        *statuses("retryable", 500, 502, 503),
    ],
    "wecom_robot": [
        *coded("errcode", "accepted", 0),
        *coded("errcode", "throttled", 45009),
        *coded("errcode", "account", 93000),
        *coded("errcode", "permanent", 40008, 40058, 44004, 45002),
        *coded("errcode", "retryable", -1),
    ],
    "dingtalk": [
        *coded("errcode", "accepted", 0, errmsg="ok"),
        *coded("errcode", "retryable", -1),
        *coded("errcode", "throttled", 130101, 410100, errmsg="send too fast"),
        *coded("errcode", "permanent", 310000, errmsg="keywords not in content"),
        *coded("errcode", "auth", 310000, errmsg="sign not match"),
        *coded("errcode", "auth", 310000, errmsg="ip 192.0.2.1 not in whitelist"),
        *coded("errcode", "auth", 300001, 300005, 400101, errmsg="token is not exist"),
        *coded("errcode", "account", 400102, 400106, 400013),
        *coded("errcode", "permanent", 40035, 43004, 400105),
        *coded("errcode", "throttled", 999999, errmsg="request frequency"),
        (200, {"status": 1111, "wait": 5, "punish": "deny"}, "throttled"),
    ],
    "dingtalk_app": [
        *coded("errcode", "accepted", 0, errmsg="ok", task_id=256271667526),
        *coded("errcode", "retryable", -1),
        *coded("errcode", "throttled", 143103, 143104),
        *coded("errcode", "throttled", 7, errmsg="send too fast"),
        *coded("errcode", "token", 88, errmsg="x", sub_code="40014"),
        *coded("errcode", "token", 40014, 42001),
        *coded("errcode", "suppress", 33012),
        *coded("errcode", "permanent", 40035, 43004, 400105),
        *statuses("retryable", 500, 502, 503),
    ],
    "feishu_app": [
        *coded("code", "accepted", 0, data={"message_id": "om_1"}),
        *coded("code", "token", 99991661, 99991663, 99991664, status=400),
        *coded("code", "throttled", 99991400, status=400),
        *coded("code", "suppress", 230002, 230013, status=400),
        *coded("code", "permanent", 230001, 230025, status=400),
        *statuses("throttled", 429),
        *statuses("retryable", 500, 502, 503),
    ],
    "feishu": [
        *coded("code", "accepted", 0, msg="success"),
        *coded("code", "permanent", 9499, 19024, 19002),
        *coded("code", "throttled", 11232),
        *coded("code", "auth", 19021, 19022, 19001),
        *statuses("throttled", 429),
        *statuses("retryable", 500, 502, 503),
        (502, "<html>", "retryable"),
    ],
    "slack": [
        *told("accepted", "ok"),
        *told("permanent", "invalid_payload", "no_text", "invalid_blocks", status=400),
        *told("permanent", "too_many_attachments", status=400),
        *told("suppress", "user_not_found", status=400),
        *told("auth", "action_prohibited", "posting_to_general_channel_denied", status=403),
        *told("auth", "team_disabled", "invalid_token", status=403),
        *told("account", "channel_not_found", "no_service", "no_service_id", status=404),
        *told("account", "no_active_hooks", "no_team", status=404),
        *told("account", "channel_is_archived", status=410),
        *told("retryable", "rollup_error", status=500),
        *statuses("throttled", 429),
        *statuses("retryable", 500, 503),
    ],
    "slack bot": [
        (200, {"ok": True, "ts": "1503435956.000247"}, "accepted"),
        *told("throttled", "ratelimited", status=429, name="error"),
        *told("auth", "invalid_auth", "not_authed", "account_inactive", name="error"),
        *told("auth", "token_revoked", "token_expired", "missing_scope", name="error"),
        *told("auth", "access_denied", "accesslimited", name="error"),
        *told("suppress", "channel_not_found", "not_in_channel", "is_archived", name="error"),
        *told("permanent", "msg_too_long", "no_text", "invalid_blocks", name="error"),
        *told("permanent", "invalid_arguments", name="error"),
        *told("retryable", "internal_error", "fatal_error", name="error"),
        *told("retryable", "service_unavailable", "request_timeout", name="error"),
    ],
    "telegram": [
        (200, {"ok": True, "result": {"message_id": 42}}, "accepted"),
        *telegram(400, "suppress", "Bad Request: chat not found"),
        *telegram(400, "suppress", "Bad Request: private chat not found"),
        *telegram(400, "permanent", "Bad Request: message text is empty"),
        *telegram(400, "permanent", "Bad Request: message is too long"),
        *telegram(400, "permanent", "Bad Request: can't parse entities", "Bad Request: other"),
        *telegram(401, "auth", "Unauthorized"),
        *telegram(403, "suppress", "Forbidden: bot was blocked by the user"),
        *telegram(403, "suppress", "Forbidden: user is deactivated"),
        *telegram(403, "suppress", "Forbidden: the group chat was deleted"),
        *telegram(403, "suppress", "Forbidden: bot was kicked from the group chat"),
        *telegram(403, "suppress", "Forbidden: bot was kicked from the supergroup chat"),
        *telegram(403, "suppress", "Forbidden: bot is not a member of the channel chat"),
        *telegram(404, "auth", "Not Found"),
        *telegram(429, "throttled", "Too Many Requests: retry after 5"),
        *telegram(500, "retryable", "Internal Server Error: x"),
    ],
}
#: Accounts that are not as their kind's `settings.json` says.
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "slack bot": {"webhook_url": "", "bot_token": "xoxb-1", "chat": ""}
}


def class_of(result: wire.AttemptResult) -> str:
    match result:
        case wire.Accepted():
            return "accepted"
        case wire.Unknown():
            return "unknown"
        case wire.Rejected(opted_out=True):
            return "opted out"
        case wire.Rejected(suppress=True):
            return "suppress"
        case wire.Rejected():
            return {"recipient": "address", "provider": "account"}.get(result.scope, "permanent")
        case wire.Deferred(code="access_token"):
            return "token"
        case wire.Deferred():
            return {"credential": "auth", "temporary": "retryable"}.get(result.cause, result.cause)


def lines() -> Iterator[Any]:
    for kind, table in CLASSES.items():
        for place, line in enumerate(table):
            yield pytest.param(kind, *line, id=f"{kind}-{place}")


@pytest.mark.parametrize(("kind", "status", "body", "expected"), [*lines()])
def test_answers_are_of_the_class_that_the_documentation_gives(
    make: Callable[..., Any],
    message: Callable[..., wire.Message],
    kind: str,
    status: int,
    body: Any,
    expected: str,
) -> None:
    provider = make(kind.partition(" ")[0], CHANGES.get(kind, {}))
    text = body.encode() if isinstance(body, str) else orjson.dumps(body)
    to = message().to
    if kind == "webpush":
        to = wire.Address(token=SUBSCRIPTION)

    [result] = provider.read_response([message(to=to)], wire.HttpResponse(status=status, body=text))

    assert class_of(result) == expected
