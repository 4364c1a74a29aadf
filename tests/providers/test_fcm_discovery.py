"""FCM's requests against the API's own discovery document, as google-api-python-client ships it."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.model import wire
from gateway.providers import fcm

Make = Callable[..., fcm.Provider]
Message = Callable[..., wire.Message]
Json = Mapping[str, Any]

DURATION = re.compile(r"\d+(?:\.\d{1,9})?s")
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "array": list,
}
TOKENS = ("cX1:APA91b", "fid:cX1abc", "topic:news", "condition:'a' in topics")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
NUMBERS = st.integers(-(2**63), 2**63)
DATA = st.dictionaries(TEXTS, TEXTS | NUMBERS | st.booleans() | st.lists(TEXTS, max_size=3))
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "image": TEXTS,
        "link": TEXTS | st.just("https://example.com/o/42"),
        "sound": TEXTS,
        "collapse_key": TEXTS,
        "badge": st.integers(-1, 10_000),
        "ttl": st.integers(-1, 10**9),
        "data": DATA,
    },
)


@cache
def schemas() -> Json:
    spec = find_spec("googleapiclient")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "discovery_cache" / "documents"
    found: Json = orjson.loads((folder / "fcm.v1.json").read_bytes())["schemas"]
    return found


@pytest.fixture(name="provider", scope="module")
def fixture_provider(make: Make) -> fcm.Provider:
    return make("fcm")


def faults(value: Any, schema: Json, path: str = "") -> Iterator[str]:
    """What the document does not know, or knows as something else. Names may be in snake_case."""
    if "$ref" in schema:
        yield from faults(value, schemas()[schema["$ref"]], path)
    elif not isinstance(value, KINDS[schema["type"]]):
        yield f"{path}: no {schema['type']}"
    elif isinstance(value, dict):
        for name, one in value.items():
            known = schema.get("properties", {}).get(camel(name))
            known = known or schema.get("additionalProperties")
            if known is None:
                yield f"{path}.{name}: unknown"
            elif known.get("type") != "any":
                yield from faults(one, known, f"{path}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from faults(one, schema["items"], f"{path}[]")
    else:
        yield from faults_of_text(str(value), schema, path)


def faults_of_text(value: str, schema: Json, path: str) -> Iterator[str]:
    if "enum" in schema and value.upper() not in schema["enum"]:  # the SDKs write small letters
        yield f"{path}: none of {schema['enum']}"
    if schema.get("format") == "google-duration" and not DURATION.fullmatch(value):
        yield f"{path}: no duration"


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))


def body_of(provider: fcm.Provider, message: wire.Message) -> dict[str, Any]:
    [(_, request)] = provider.build_requests([message])
    body: dict[str, Any] = orjson.loads(request.body)
    return body


def found(body: Json) -> list[str]:
    return list(faults(dict(body), {"$ref": "SendMessageRequest"}))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    title=TEXTS, text=TEXTS, extra=EXTRAS, token=st.sampled_from(TOKENS), priority=st.integers(0, 3)
)
def test_every_request_is_one_that_the_document_knows(
    provider: fcm.Provider,
    message: Message,
    title: str,
    text: str,
    extra: dict[str, Any],
    token: str,
    priority: int,
) -> None:
    content = wire.Content(title=title, text=text, extra=extra)
    to = wire.Address(token=token)

    body = body_of(provider, message(to=to, content=content, priority=priority))

    assert found(body) == []


def test_blocks_of_its_own_are_known_too_and_are_laid_over_ours(
    make: Make, message: Message
) -> None:
    own = {
        "android": {
            "restricted_package_name": "com.example.app",
            "notification": {"channel_id": "orders", "notification_priority": "PRIORITY_MAX"},
            "fcm_options": {"analytics_label": "spring"},
        },
        "apns": {
            "headers": {"apns-priority": "5"},
            "payload": {"aps": {"thread-id": "orders", "mutable-content": 1}},
            "live_activity_token": "abc",
        },
        "webpush": {"notification": {"icon": "/i.png"}, "data": {"k": "v"}},
        "fcm_options": {"analytics_label": "spring"},
    }
    content = wire.Content(title="T", text="B", extra={"badge": 2}, provider_templates={"fcm": own})

    body = body_of(make("fcm"), message(content=content, priority=0))

    assert found(body) == []
    said = body["message"]
    assert said["android"]["priority"] == "high"
    assert said["android"]["notification"]["tag"]
    assert said["android"]["notification"]["channel_id"] == "orders"
    assert said["apns"]["headers"]["apns-priority"] == "5"
    assert "apns-expiration" in said["apns"]["headers"]
    assert said["apns"]["payload"]["aps"] == {
        "badge": 2,
        "thread-id": "orders",
        "mutable-content": 1,
    }
    assert said["fcm_options"] == {"analytics_label": "spring"}


def test_the_newer_block_of_android_takes_the_place_of_the_older(
    make: Make, message: Message
) -> None:
    own = {"android_v2": {"background_sync": {}, "ttl": "60s"}}
    content = wire.Content(text="B", provider_templates={"fcm": own})

    body = body_of(make("fcm"), message(content=content))

    assert found(body) == []
    assert "android" not in body["message"]
    assert body["message"]["android_v2"]["ttl"] == "60s"


@pytest.mark.parametrize(
    ("own", "fault"),
    [
        ({"topic": "news"}, "fcm.topic: not one of notification, android"),
        ({"android": "high"}, "fcm.android: not a table"),
        ({"webpush": {"notification": {"body": "x" * 5000}}}, "content: more than 4096 bytes"),
    ],
)
def test_blocks_that_cannot_be_sent_are_objected_to(
    make: Make, own: dict[str, Any], fault: str
) -> None:
    content = wire.Content(text="B", provider_templates={"fcm": own})

    assert make("fcm").objection(content, wire.Address(token="cX1:APA91b")).startswith(fault)


def test_the_document_finds_what_is_wrong() -> None:
    wrong = {
        "message": {
            "token": 1,
            "tokens": [],
            "android": {"ttl": "1h", "priority": "urgent"},
            "data": {"a": 1},
        }
    }

    assert found(wrong) == [
        ".message.token: no string",
        ".message.tokens: unknown",
        ".message.android.ttl: no duration",
        ".message.android.priority: none of ['NORMAL', 'HIGH']",
        ".message.data.a: no string",
    ]
