"""Requests and answers to show in the documentation.

A test posts the requests to a gateway in sandbox mode, so nothing in them may go out of date.
"""

from typing import Any

_ID = "01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a21"
_OTHER = "01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a22"

CODE: dict[str, Any] = {
    "to": {"phone": "+8613800138000", "email": "li@example.com"},
    "category": "otp",
    "template": "login-code",
    "data": {"code": "834201"},
    "dedupe": {"key": "login-42", "window": "60s"},
    "metadata": {"order": "A17"},
}

CHAIN: dict[str, Any] = {
    "to": {
        "phone": "+8613800138000",
        "push": [{"app": "ios", "token": "740f4707bebcf74f9b7c25d4"}],
    },
    "category": "service",
    "chain": [
        {"channel": "push", "until": "delivered", "within": "20s"},
        {"channel": "sms"},
    ],
    "content": {
        "title": "Your parcel is here",
        "text": "Your parcel waits at locker 7 until Friday.",
        "sms": {"text": "Parcel at locker 7 until Fri."},
    },
    "expires_in": "6h",
}

NEWSLETTER: dict[str, Any] = {
    "to": {"email": "li@example.com", "recipient": "user-42"},
    "category": "marketing",
    "content": {
        "subject": "What is new in spring",
        "text": "Three things that you asked for are here.",
        "html": "<p>Three things that <b>you</b> asked for are here.</p>",
    },
    "expires_in": "3d",
}

MESSAGES = {
    "A code, with a template": CODE,
    "Push, then SMS if it is not delivered": CHAIN,
    "An email with HTML": NEWSLETTER,
}

BATCH = {
    "Two messages": [
        {**CODE, "idempotency_key": "login-42-1"},
        {**CHAIN, "idempotency_key": "parcel-7"},
    ]
}

_LI: dict[str, Any] = {
    "phone": "+8613800138000",
    "email": "li@example.com",
    "push": [{"app": "ios", "token": "740f4707bebcf74f9b7c25d4"}],
    "verified": ["phone"],
    "locale": "zh-CN",
    "zone": "Asia/Shanghai",
    "quiet_hours": [{"from": "22:00", "to": "08:00"}],
    "preferences": {"marketing": ["email", "sms"]},
    "tier": "gold",
    "attributes": {"city": "Hangzhou"},
}

RECIPIENT = {"A person": _LI}

RECIPIENT_READ = {"id": "user-42", **_LI, "updated_at": "2026-03-21T01:00:00.000Z"}

RECIPIENTS = {
    "Two lines": '{"id": "user-42", "phone": "+8613800138000", "zone": "Asia/Shanghai"}\n'
    '{"id": "user-43", "email": "han@example.com"}\n',
}

BULK_RESULT = {
    "rows": 1000,
    "new": 12,
    "changed": 40,
    "unchanged": 947,
    "refused": 1,
    "faults": [{"row": 17, "field": "phone", "reason": "not a phone number in E.164"}],
}

WEBHOOK = {
    "Failures only": {
        "url": "https://billing.example.com/hooks/messages",
        "events": ["message.failed", "message.expired"],
    }
}

#: The same where reports stay on this machine.
LOCAL_WEBHOOK = {
    name: {**body, "url": "http://localhost:9000/hooks/messages"} for name, body in WEBHOOK.items()
}

REPLAY = {
    "What failed since nine": {"since": "2026-03-21T09:00:00+08:00", "only_failed": True},
}

ACCEPTED = {"id": _ID, "state": "queued"}

BATCH_RESULT = {
    "results": [
        ACCEPTED,
        {
            "problem": {
                "type": "/docs#problem-invalid-message",
                "title": "Invalid message",
                "status": 422,
                "detail": "The body does not fit; see faults.",
                "faults": [{"field": "to.phone", "detail": "is not an E.164 number"}],
            }
        },
        {"id": _OTHER, "state": "scheduled"},
    ]
}

STATUS = {
    "id": _ID,
    "state": "delivered",
    "category": "otp",
    "created_at": "2026-03-21T01:00:00.000Z",
    "expires_at": "2026-03-21T01:05:00.000Z",
    "metadata": {"order": "A17"},
    "timeline": [
        {
            "at": "2026-03-21T01:00:00.000Z",
            "event": "accepted",
            "channel": "",
            "provider": "",
            "detail": "",
        },
        {
            "at": "2026-03-21T01:00:00.120Z",
            "event": "attempt.accepted",
            "channel": "sms",
            "provider": "aliyun",
            "detail": "",
        },
        {
            "at": "2026-03-21T01:00:02.480Z",
            "event": "receipt.delivered",
            "channel": "sms",
            "provider": "aliyun",
            "detail": "DELIVERED",
        },
    ],
}
