"""What FCM checks in a request to send, and the bodies of its errors."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

#: Errors that have no FcmError code of their own.
BAD_TOKEN = "bad access token"
BAD_FIELD = "bad field"
NO_PROJECT = "no such project"

#: By error: HTTP status, `error.status`, message.
_ERRORS: Mapping[str, tuple[int, str, str]] = {
    BAD_TOKEN: (
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token.",
    ),
    BAD_FIELD: (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    NO_PROJECT: (404, "NOT_FOUND", "Requested entity was not found."),
    "UNREGISTERED": (404, "NOT_FOUND", "Requested entity was not found."),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED", "SenderId mismatch"),
    "INVALID_ARGUMENT": (
        400,
        "INVALID_ARGUMENT",
        "The registration token is not a valid FCM registration token",
    ),
    "THIRD_PARTY_AUTH_ERROR": (
        401,
        "UNAUTHENTICATED",
        "Auth error from APNS or Web Push Service",
    ),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED", "Quota exceeded for the project."),
    "INTERNAL": (500, "INTERNAL", "Internal error encountered."),
    "UNAVAILABLE": (503, "UNAVAILABLE", "The service is currently unavailable."),
}

_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"

_TARGETS = ("token", "fid", "topic", "condition")
_BLOCKS = ("notification", "android", "apns", "webpush", "fcm_options", "android_v2")
_KNOWN = frozenset({*_TARGETS, *_BLOCKS, "data", "fcmOptions", "androidV2", "name"})

_TOPIC = re.compile(r"[a-zA-Z0-9\-_.~%]{1,900}")
_LABEL = re.compile(r"[a-zA-Z0-9\-_.~%]{1,50}")
_DURATION = re.compile(r"\d{1,9}(?:\.\d{1,9})?s")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_FORBIDDEN = re.compile(r"from|message_type|google\..*|gcm\.notification\..*", re.DOTALL)

_FOUR_WEEKS = 28 * 24 * 3600
_PAYLOAD_LIMIT = 4096
_TOPIC_PAYLOAD_LIMIT = 2048


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a body."""

    #: its path, such as `message.data[0].value`
    field: str
    description: str


def either(value: Mapping[str, Any], snake: str) -> Any:
    """A field by its snake_case or lowerCamelCase name; None when it is absent."""
    head, *rest = snake.split("_")
    found = value.get(snake)
    return value.get(head + "".join(map(str.capitalize, rest))) if found is None else found


def target(message: Mapping[str, Any]) -> str:
    """Where the message goes; topics and conditions as they stand."""
    return next((str(message[name]) for name in _TARGETS if message.get(name)), "")


def fault(body: bytes) -> Violation | None:
    """The first thing wrong with a request's body; None when nothing is."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Violation("", "Invalid JSON payload received.")
    message = value.get("message") if isinstance(value, dict) else None
    if not isinstance(message, dict):
        return Violation("message", "Message is required.")
    return next((found for check in _CHECKS for found in check(message)), None)


def _names(message: Mapping[str, Any]) -> Iterator[Violation]:
    for name in message:
        if name not in _KNOWN:
            yield Violation("message", f'Unknown name "{name}": Cannot find field.')
    for name in _BLOCKS:
        if not isinstance(either(message, name) or {}, dict):
            yield Violation(f"message.{name}", "Must be an object.")
    if message.get("android") and either(message, "android_v2"):
        yield Violation("message.android_v2", "Only one of android and android_v2 may be set.")


def _target(message: Mapping[str, Any]) -> Iterator[Violation]:
    given = [name for name in _TARGETS if message.get(name)]
    if len(given) != 1:
        yield Violation("message", "Exactly one of token, fid, topic or condition is required.")
        return
    value = message[given[0]]
    if not isinstance(value, str):
        yield Violation(f"message.{given[0]}", "Invalid value (TYPE_STRING)")
    elif given[0] == "topic" and not _TOPIC.fullmatch(value):
        yield Violation("message.topic", "Invalid topic name.")


def _data(message: Mapping[str, Any]) -> Iterator[Violation]:
    for path, block in _string_maps(message):
        if block is None:
            continue
        if not isinstance(block, dict):
            yield Violation(path, "Must be an object.")
            return
        for index, (key, value) in enumerate(block.items()):
            if not isinstance(value, str):
                yield Violation(
                    f"{path}[{index}].value",
                    f"Invalid value at '{path}[{index}].value' (TYPE_STRING)",
                )
            elif path.endswith("data") and _FORBIDDEN.fullmatch(key):
                yield Violation(f"{path}[{index}].key", f"Invalid data payload key: {key}")


def _string_maps(message: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "message.data", message.get("data")
    yield "message.android.data", _block(message, "android").get("data")
    yield "message.webpush.data", _block(message, "webpush").get("data")
    yield "message.webpush.headers", _block(message, "webpush").get("headers")
    yield "message.apns.headers", _block(message, "apns").get("headers")


def _android(message: Mapping[str, Any]) -> Iterator[Violation]:
    android = _block(message, "android")
    ttl = android.get("ttl")
    if ttl is not None and not _is_ttl(ttl):
        yield Violation("message.android.ttl", "Illegal duration format; 0s to four weeks.")
    priority = android.get("priority")
    if priority is not None and str(priority).lower() not in ("normal", "high"):
        yield Violation("message.android.priority", "Invalid value (TYPE_ENUM)")
    colour = _block(android, "notification").get("color")
    if colour is not None and not (isinstance(colour, str) and _COLOUR.fullmatch(colour)):
        yield Violation("message.android.notification.color", "Must be #RRGGBB.")


def _is_ttl(value: object) -> bool:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        return False
    return Decimal(value[:-1]) <= _FOUR_WEEKS


def _options(message: Mapping[str, Any]) -> Iterator[Violation]:
    for path, block in (
        ("message", message),
        ("message.android", _block(message, "android")),
        ("message.apns", _block(message, "apns")),
    ):
        label = either(_block(block, "fcm_options"), "analytics_label")
        if label is not None and not (isinstance(label, str) and _LABEL.fullmatch(label)):
            yield Violation(f"{path}.fcm_options.analytics_label", "Invalid label.")
    link = _block(_block(message, "webpush"), "fcm_options").get("link")
    if link is not None and not str(link).startswith("https://"):
        yield Violation("message.webpush.fcm_options.link", "Must be an HTTPS URL.")


def _size(message: Mapping[str, Any]) -> Iterator[Violation]:
    limit = _TOPIC_PAYLOAD_LIMIT if message.get("topic") else _PAYLOAD_LIMIT
    if _payload_bytes(message.get("data")) + _payload_bytes(message.get("notification")) > limit:
        yield Violation("message", "Message is too big.")
    if _payload_bytes(_block(message, "apns").get("payload")) > limit:
        yield Violation("message.apns.payload", "Message is too big.")


def _payload_bytes(value: Any) -> int:
    """Bytes of keys and values, without the syntax between them."""
    if isinstance(value, dict):
        return sum(len(key.encode()) + _payload_bytes(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(map(_payload_bytes, value))
    return 0 if value is None else len(str(value).encode())


def _block(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = either(value, name)
    return found if isinstance(found, dict) else {}


_CHECKS: tuple[Callable[[Mapping[str, Any]], Iterator[Violation]], ...] = (
    _names,
    _target,
    _data,
    _android,
    _options,
    _size,
)


def envelope(error: str, violation: Violation | None = None) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of an error."""
    code, status, message = _ERRORS[error]
    if violation is not None:
        message = violation.description
    value = {"code": code, "message": message, "status": status, "details": _details(error)}
    if violation is not None or error == BAD_FIELD:
        found = violation or Violation("message", message)
        fields = [{"field": found.field, "description": found.description}]
        value["details"] = [{"@type": _BAD_REQUEST, "fieldViolations": fields}]
    if not value["details"]:
        del value["details"]
    return code, {"error": value}


def _details(error: str) -> list[dict[str, Any]]:
    if error in (BAD_TOKEN, BAD_FIELD, NO_PROJECT):
        return []
    details: list[dict[str, Any]] = [{"@type": _FCM_ERROR, "errorCode": error}]
    if error == "QUOTA_EXCEEDED":
        subject = {"subject": "project:sandbox", "description": "Messages per minute"}
        details.append({"@type": _QUOTA_FAILURE, "violations": [subject]})
    return details
