"""One vocabulary in every provider of push: the same fields, the same limits, the same faults."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import push_api

Make = Callable[..., push_api.PushProvider]
Message = Callable[..., wire.Message]

SUBSCRIPTION = orjson.dumps(
    {
        "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/a",
        "keys": {
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7V"
            "d8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
    }
).decode()
APPLE = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
TOKENS = {
    "apns": APPLE,
    "fcm": "cX1:APA91bF_x-y",
    "getui": "0f2d6a1bcd",
    "huawei": "IQAAAACy0kYUAAB",
    "jpush": "1a0018970a8a2d4b1f5",
    "webpush": SUBSCRIPTION,
}
KINDS = sorted(TOKENS)
FULL = {
    "image": "https://example.com/i.png",
    "link": "https://example.com/o/42",
    "badge": 7,
    "sound": "ping.caf",
    "collapse_key": "42",
    "ttl": 90.0,
    "data": {"order": "A17"},
}
#: What a service has no place for, by its fact sheet: the adapter leaves it out.
WITHOUT: Mapping[str, frozenset[str]] = {
    "getui": frozenset({"image"}),
    "webpush": frozenset({"sound"}),
    "jpush": frozenset({"collapse_key"}),
}


@pytest.fixture(name="push")
def fixture_push(message: Message, now: datetime) -> Callable[..., wire.Message]:
    """A push that one kind can carry, for an hour."""

    def build(kind: str, content: wire.Content) -> wire.Message:
        return message(
            channel=wire.Channel.PUSH,
            to=wire.Address(app="shop", token=TOKENS[kind]),
            content=content,
            expires_at=now + timedelta(hours=1),
        )

    return build


Push = Callable[..., wire.Message]


def said(provider: push_api.PushProvider, message: wire.Message) -> str:
    """All that the request says, headers too; a sealed body as it was before."""
    [(_, request)] = provider.build_requests([message])
    body = request.body
    if provider.name == "webpush":
        return f"{request.headers} {provider.size(provider.read(message))}"
    return f"{request.headers} {body.decode()}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["title", "text", *FULL])
def test_every_field_reaches_the_service(make: Make, push: Push, kind: str, field: str) -> None:
    """What is said without the field differs, unless the service has no place for it."""
    full = wire.Content(title="A title", text="A text", extra=FULL)
    extra = {name: value for name, value in FULL.items() if name != field}
    title, text = (full.title, "") if field == "text" else ("", full.text)
    less = replace(full, extra=extra)
    if field in ("title", "text"):
        less = replace(full, title=title, text=text)
    provider = make(kind)
    if kind == "webpush" and field in ("collapse_key", "ttl"):
        [[(_, with_it)], [(_, without)]] = (
            provider.build_requests([push(kind, one)]) for one in (full, less)
        )
        name = {"collapse_key": "topic", "ttl": "ttl"}[field]
        assert with_it.headers[name] != without.headers[name]
        return

    differs = _without_key(said(provider, push(kind, full))) != _without_key(
        said(provider, push(kind, less))
    )

    assert differs is (field not in WITHOUT.get(kind, ()))


def _without_key(text: str) -> str:
    """Signatures with chance in them say nothing."""
    head, _, tail = text.partition("vapid ")
    return head + tail.partition("'")[2]


@pytest.mark.parametrize("kind", KINDS)
def test_time_to_live_is_the_shorter_of_the_two(make: Make, push: Push, kind: str) -> None:
    provider = make(kind)
    lives = [
        provider.read(push(kind, wire.Content(text="x", extra=extra))).ttl
        for extra in ({}, {"ttl": 90.0}, {"ttl": 90_000.0})
    ]

    assert lives == [3600, 90, 3600]


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_that_is_too_long_is_objected_to(make: Make, push: Push, kind: str) -> None:
    provider, to = make(kind), wire.Address(app="shop", token=TOKENS[kind])
    long = wire.Content(title="T", text="字" * 5000)

    objection = provider.objection(long, to)

    assert objection.endswith("bytes as a push")
    assert "字" not in objection
    assert provider.objection(wire.Content(title="T", text="字" * 300), to) == ""
    with pytest.raises(ValueError, match="bytes as a push"):
        provider.build_requests([push(kind, long)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_that_may_be_cut_is_cut_to_what_fits(make: Make, push: Push, kind: str) -> None:
    provider, to = make(kind), wire.Address(app="shop", token=TOKENS[kind])
    long = wire.Content(title="T", text="字" * 5000, extra={"cut": ("text",)})

    read = provider.read(push(kind, long))

    assert provider.objection(long, to) == ""
    assert read.body.endswith("字…")
    most = provider.most_of(read)
    assert most - 8 <= provider.size(read) <= most
    provider.build_requests([push(kind, long)])


@pytest.mark.parametrize("kind", KINDS)
def test_data_is_never_cut(make: Make, push: Push, kind: str) -> None:
    long = wire.Content(text="x", extra={"data": {"v": "x" * 5000}, "cut": ("text", "title")})

    assert make(kind).objection(long, push(kind, long).to)


@pytest.mark.parametrize("kind", KINDS)
def test_an_app_that_the_account_does_not_serve_is_a_misfit(make: Make, kind: str) -> None:
    provider = make(kind, apps=["shop"])
    content = wire.Content(text="x")
    ours, other = (wire.Address(app=app, token=TOKENS[kind]) for app in ("shop", "bank"))

    assert provider.misfit(ours) == provider.objection(content, ours) == ""
    assert provider.misfit(other) == "app: this account does not serve it"
    assert provider.objection(content, other)


@pytest.mark.parametrize(
    ("kind", "token"),
    [
        ("apns", TOKENS["fcm"]),
        ("apns", APPLE[:-1]),
        ("apns", SUBSCRIPTION),
        ("fcm", APPLE),
        ("fcm", SUBSCRIPTION),
        ("fcm", "topic:a b"),
        ("fcm", "two words"),
        ("webpush", APPLE),
        ("webpush", '{"endpoint": "https://push.example.net/x"}'),
        ("huawei", SUBSCRIPTION),
        ("jpush", SUBSCRIPTION),
        ("getui", "two words"),
    ],
)
def test_a_token_of_another_kind_is_a_misfit(make: Make, kind: str, token: str) -> None:
    fault = make(kind).misfit(wire.Address(app="shop", token=token))

    assert fault.startswith("token: not a ")
    assert token not in fault


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_of_its_own_kind_is_none(make: Make, kind: str) -> None:
    assert make(kind).misfit(wire.Address(app="shop", token=TOKENS[kind])) == ""


@pytest.mark.parametrize(
    ("token", "target"),
    [
        ("fid:cX1abc", {"fid": "cX1abc"}),
        ("topic:news", {"topic": "news"}),
        (
            "condition:'a' in topics && 'b' in topics",
            {"condition": "'a' in topics && 'b' in topics"},
        ),
        ("cX1:APA91b", {"token": "cX1:APA91b"}),
    ],
)
def test_fcm_sends_to_tokens_installations_topics_and_conditions(
    make: Make, message: Message, token: str, target: dict[str, Any]
) -> None:
    provider = make("fcm")
    [(_, request)] = provider.build_requests([message(to=wire.Address(token=token))])

    body = orjson.loads(request.body)["message"]

    named = ("token", "fid", "topic", "condition")
    assert {name: body[name] for name in named if name in body} == target
    assert provider.misfit(wire.Address(token=token)) == ""


def test_a_topic_takes_half_as_much_and_is_never_banned(make: Make, message: Message) -> None:
    provider = make("fcm")
    to = wire.Address(token="topic:news")
    gone = orjson.dumps({"error": {"code": 404, "status": "UNREGISTERED"}})

    [result] = provider.read_response([message(to=to)], wire.HttpResponse(status=404, body=gone))

    assert provider.objection(wire.Content(text="x" * 3000), to)
    assert provider.objection(wire.Content(text="x" * 2000), to) == ""
    assert isinstance(result, wire.Rejected)
    assert not result.suppress


def test_apples_own_fields_stand_in_the_table_of_their_kind(make: Make, push: Push) -> None:
    table = {"push_type": "voip", "aps": {"thread-id": "a"}}
    content = wire.Content(text="x", provider_templates={"apns": table})

    [(_, request)] = make("apns").build_requests([push("apns", content)])

    assert request.headers["apns-push-type"] == "voip"
    assert orjson.loads(request.body)["aps"]["thread-id"] == "a"


#: By kind: something that its own API alone knows, in the content's table of the kind.
OWN: Mapping[str, Mapping[str, Any]] = {
    "fcm": {"android": {"notification": {"channel_id": "orders"}}},
    "getui": {
        "push_channel": {"android": {"ups": {"options": {"XM": {"/extra.channel_id": "1"}}}}}
    },
    "huawei": {"android": {"notification": {"channel_id": "orders"}}},
    "jpush": {"options": {"third_party_channel": {"xiaomi": {"channel_id": "1"}}}},
}


@pytest.mark.parametrize("kind", OWN)
def test_what_one_service_alone_knows_is_laid_over_what_all_are_told(
    make: Make, push: Push, kind: str
) -> None:
    plain = wire.Content(title="A title", text="A text", extra=FULL)
    [[(_, usual)], [(_, more)]] = (
        make(kind).build_requests([push(kind, one)])
        for one in (plain, replace(plain, provider_templates={kind: OWN[kind]}))
    )

    said, told = orjson.loads(usual.body), orjson.loads(more.body)

    table = {"fcm": {"message": OWN[kind]}, "huawei": {"message": OWN[kind]}}.get(kind, OWN[kind])
    assert told == push_api.lay_over(said, table) != said
    assert set(leaves(said)) < set(leaves(told))


def leaves(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [leaf for name, one in value.items() for leaf in leaves(one, f"{path}.{name}")]
    return [f"{path}={value}"]


@pytest.mark.parametrize("kind", OWN)
def test_what_is_no_part_of_a_services_request_is_objected_to(make: Make, kind: str) -> None:
    to, provider = wire.Address(app="shop", token=TOKENS[kind]), make(kind)

    for table, fault in (
        ({"audience": "all"}, f"{kind}.audience: not one of "),
        ({provider.blocks[0]: "x"}, f"{kind}.{provider.blocks[0]}: not a table"),
    ):
        content = wire.Content(text="x", provider_templates={kind: table})
        assert provider.objection(content, to).startswith(fault)


@pytest.mark.parametrize("kind", ["fcm", "getui", "huawei", "jpush"])
def test_what_one_service_alone_knows_counts_for_its_limit(make: Make, kind: str) -> None:
    name = {"fcm": "webpush", "getui": "push_message", "jpush": "notification"}.get(kind, "android")
    table = {name: {"android": {"x": "y" * 5000}}}
    content = wire.Content(title="T", text="x", provider_templates={kind: table})

    objection = make(kind).objection(content, wire.Address(app="shop", token=TOKENS[kind]))

    assert objection.startswith("content: more than 4096 bytes")
