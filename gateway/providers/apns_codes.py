"""What the reasons of APNs mean for us.

https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

from collections.abc import Mapping

from gateway.model import wire
from gateway.model.values import replace

_REQUEST = wire.Rejected(code="")
_CONFIG = wire.Deferred(code="", cause=wire.Cause.CREDENTIAL)
_GONE = wire.Rejected(code="", scope=wire.Scope.RECIPIENT, suppress=True)
#: Where all tokens are such, the environment or the topic is wrong.
_DOUBTFUL = replace(_GONE, doubtful=True)
_LATER = wire.Deferred(code="")
#: By `reason`.
RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    **dict.fromkeys(
        (
            "BadCollapseId",
            "BadExpirationDate",
            "BadMessageId",
            "BadPriority",
            "InvalidPushType",
            "DuplicateHeaders",
            "PayloadEmpty",
            "MissingDeviceToken",
            "BadPath",
            "MethodNotAllowed",
            "PayloadTooLarge",
        ),
        _REQUEST,
    ),
    "BadDeviceToken": replace(_DOUBTFUL, detail="malformed, or of the other environment"),
    "DeviceTokenNotForTopic": replace(_DOUBTFUL, detail="token of another app"),
    "Unregistered": replace(_GONE, detail="token gone"),
    "ExpiredToken": replace(_GONE, detail="token expired"),
    **dict.fromkeys(
        ("BadTopic", "MissingTopic", "TopicDisallowed"), replace(_CONFIG, detail="topic")
    ),
    "ExpiredProviderToken": replace(_CONFIG, detail="our clock is wrong"),
    **dict.fromkeys(
        (
            "InvalidProviderToken",
            "MissingProviderToken",
            "BadEnvironmentKeyIdInToken",
            "BadEnvironmentKeyInToken",
        ),
        replace(_CONFIG, detail="key, team or environment"),
    ),
    "UnrelatedKeyIdInToken": replace(_CONFIG, detail="key of another team"),
    **dict.fromkeys(
        ("BadCertificate", "BadCertificateEnvironment"), replace(_CONFIG, detail="certificate")
    ),
    "Forbidden": _CONFIG,
    "TooManyRequests": replace(_LATER, cause=wire.Cause.RECIPIENT, detail="too many to the device"),
    # The same token stays in use, so all there is to do is to wait.
    "TooManyProviderTokenUpdates": replace(_LATER, cause=wire.Cause.THROTTLED),
    **dict.fromkeys(
        ("IdleTimeout", "InternalServerError", "ServiceUnavailable", "Shutdown"), _LATER
    ),
}
