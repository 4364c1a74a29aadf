"""Feishu's messages by an application: requests, answers, events, and the simulator of it all."""

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import test_utils, web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.clock import SystemClock
from gateway.dispatch.senders import HttpSender
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import feishu_app
from gateway.sandbox import feishu_app as sandbox
from gateway.sandbox.knobs import Knobs
from gateway.transport.http import AiohttpTransport

Make = Callable[..., feishu_app.Provider]
Message = Callable[..., wire.Message]
KEY, TOKEN = "test key", "v-token"
URL = "https://gw.example.com/v1/receipts/main"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> feishu_app.Provider:
    return make("feishu_app")


def sealed(event: dict[str, Any], key: str = KEY) -> bytes:
    plain, start = json.dumps(event).encode(), os.urandom(16)
    count = 16 - len(plain) % 16
    cipher = Cipher(algorithms.AES(hashlib.sha256(key.encode()).digest()), modes.CBC(start))
    encryptor = cipher.encryptor()
    text = encryptor.update(plain + bytes([count]) * count) + encryptor.finalize()
    return json.dumps({"encrypt": base64.b64encode(start + text).decode()}).encode()


def posted(
    event: dict[str, Any], now: datetime, *, late: int = 0, key: str = KEY
) -> wire.HttpRequest:
    body, at = sealed(event, key), str(int(now.timestamp()) - late)
    signature = hashlib.sha256((at + "n" + key).encode() + body).hexdigest()
    headers = {
        "x-lark-request-timestamp": at,
        "x-lark-request-nonce": "n",
        "x-lark-signature": signature,
    }
    return wire.HttpRequest(method="POST", url=URL, headers=headers, body=body)


def read_event(**changes: Any) -> dict[str, Any]:
    header = {"event_type": "im.message.message_read_v1", "token": TOKEN, **changes}
    reader = {"reader_id": {"open_id": "ou_1"}, "read_time": "1772366400123"}
    event = {"reader": reader, "message_id_list": ["om_1", "om_2"]}
    return {"schema": "2.0", "header": header, "event": event}


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("ou_7d8a6e", "open_id"),
        ("on_94a1ee", "union_id"),
        ("oc_5ad11d", "chat_id"),
        ("a@example.com", "email"),
        ("g6964gd3", "user_id"),
    ],
)
def test_address_says_what_it_is(
    provider: feishu_app.Provider, message: Message, address: str, kind: str
) -> None:
    one = message(to=wire.Address(chat=address), content=wire.Content(text='hi "you"'))

    [(_, request)] = provider.build_requests([one])

    body = json.loads(request.body)
    assert request.url == (
        f"https://open.feishu.cn/open-apis/im/v1/messages?receive_id_type={kind}"
    )
    assert json.loads(body.pop("content")) == {"text": 'hi "you"'}
    assert body == {"receive_id": address, "msg_type": "text", "uuid": one.reference}


@pytest.mark.parametrize(
    ("own", "kind", "content"),
    [
        ({"card": {"elements": []}}, "interactive", {"elements": []}),
        ({"msg_type": "post", "content": {"zh_cn": {}}}, "post", {"zh_cn": {}}),
    ],
)
def test_cards_and_posts_are_sent_as_they_are(
    provider: feishu_app.Provider, message: Message, own: Any, kind: str, content: Any
) -> None:
    one = message(content=wire.Content(provider_templates={"feishu_app": own}))

    [(_, request)] = provider.build_requests([one])

    body = json.loads(request.body)
    assert (body["msg_type"], json.loads(body["content"])) == (kind, content)


def test_text_that_looks_like_a_mention_is_none(
    provider: feishu_app.Provider, message: Message
) -> None:
    one = message(content=wire.Content(text='<at user_id="all">x</at>'))

    [(_, request)] = provider.build_requests([one])

    assert "<at " not in json.loads(json.loads(request.body)["content"])["text"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (wire.Content(text="x" * 153_601), "text: longer than 153600 bytes"),
        (
            wire.Content(provider_templates={"feishu_app": {"msg_type": "post"}}),
            "feishu_app: neither a card",
        ),
    ],
)
def test_what_cannot_be_sent_is_objected_to(
    provider: feishu_app.Provider, content: wire.Content, fault: str
) -> None:
    assert provider.objection(content, wire.Address(chat="ou_1")).startswith(fault)


def test_token_is_asked_for_and_ends_ten_minutes_early(provider: feishu_app.Provider) -> None:
    assert provider.credential
    request = provider.credential.token_request()
    answer = b'{"code":0,"msg":"ok","tenant_access_token":"t-1","expire":7200}'

    token = provider.credential.read_token(wire.HttpResponse(status=200, body=answer))
    authorised = provider.credential.authorise(request, "t-1")

    assert request.url.endswith("/open-apis/auth/v3/tenant_access_token/internal")
    assert json.loads(request.body)["app_id"] == "cli_a1"
    assert token == wire.Token(value="t-1", expires_in=6600.0)
    assert authorised.headers["authorization"] == "Bearer t-1"


@pytest.mark.parametrize(
    ("status", "body", "code", "cause"),
    [
        (400, {"code": 10014, "msg": "app secret invalid"}, "http_400", wire.Cause.CREDENTIAL),
        (200, {"code": 10014, "msg": "app secret invalid"}, "10014", wire.Cause.CREDENTIAL),
        (200, {"code": 99991400}, "99991400", wire.Cause.THROTTLED),
        (503, {}, "http_503", wire.Cause.TEMPORARY),
        (200, {"code": 0}, "unreadable_token", wire.Cause.TEMPORARY),
    ],
)
def test_no_token_says_who_is_to_blame(
    provider: feishu_app.Provider, status: int, body: Any, code: str, cause: wire.Cause
) -> None:
    assert provider.credential
    response = wire.HttpResponse(status=status, body=json.dumps(body).encode())

    trouble = provider.credential.read_token(response)

    assert isinstance(trouble, wire.Deferred)
    assert (trouble.code, trouble.cause) == (code, cause)


def test_what_is_encrypted_is_opened_as_in_the_vendors_example() -> None:
    key = hashlib.sha256(b"test key").digest()

    plain = feishu_app.decrypt(key, "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=")

    assert plain == b"hello world"


def test_who_has_read_is_a_receipt_for_each_message(
    provider: feishu_app.Provider, now: datetime
) -> None:
    request = posted(read_event(), now)

    receipts = provider.read_receipts(request)

    assert provider.verify_receipt(request)
    assert {one.provider_id for one in receipts} == {"om_1", "om_2"}
    assert {one.event for one in receipts} == {wire.ReceiptEvent.READ}
    assert receipts[0].at == datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    assert json.loads(provider.answer_receipt(request).body) == {"msg": "success"}


def test_other_events_bring_nothing(provider: feishu_app.Provider, now: datetime) -> None:
    request = posted(read_event(event_type="im.chat.updated_v1"), now)

    assert provider.verify_receipt(request)
    assert provider.read_receipts(request) == []


def test_what_is_not_proved_is_not_believed(
    make: Make, provider: feishu_app.Provider, now: datetime
) -> None:
    good = posted(read_event(), now)
    plain = replace(good, body=json.dumps(read_event()).encode())

    for request in (
        posted(read_event(), now, late=301),
        posted(read_event(), now, late=-301),
        posted(read_event(token="x"), now),
        posted(read_event(), now, key="another"),
        replace(good, headers={}),
        replace(good, body=sealed(read_event())),
        plain,
    ):
        assert not provider.verify_receipt(request)
    assert not make("feishu_app", encrypt_key="", verification_token="").verify_receipt(good)
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(plain)


def test_address_is_proved_by_giving_the_challenge_back(provider: feishu_app.Provider) -> None:
    event = {"challenge": "c-1", "token": TOKEN, "type": "url_verification"}
    request = wire.HttpRequest(method="POST", url=URL, body=sealed(event))
    wrong = replace(request, body=sealed({**event, "token": "x"}))

    assert provider.verify_receipt(request)
    assert provider.read_receipts(request) == []
    assert json.loads(provider.answer_receipt(request).body) == {"challenge": "c-1"}
    assert not provider.verify_receipt(wrong)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [({"app_id": ""}, "app_id: is empty"), ({"encrypt_key": ""}, "encrypt_key: goes with")],
)
def test_settings_that_cannot_work_are_named(make: Make, changes: Any, fault: str) -> None:
    with pytest.raises(errors.SettingsError, match=fault):
        make("feishu_app", changes)


async def test_simulator_takes_a_message_once_and_tells_who_read_it(
    make: Make, message: Message
) -> None:
    came: asyncio.Queue[wire.HttpRequest] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        await came.put(wire.HttpRequest(method="POST", url=URL, headers=headers, body=body))
        return web.json_response({"msg": "success"})

    app = web.Application()
    app.router.add_post("/", take)
    knobs = Knobs(receipt=wire.ReceiptEvent.READ)
    async with (
        test_utils.TestServer(app) as server,
        sandbox.FeishuAppSimulator(knobs=knobs) as simulator,
        AiohttpTransport() as transport,
    ):
        knobs.receipt_url = str(server.make_url("/"))
        options = {
            "app_id": sandbox.APP_ID,
            "app_secret": sandbox.APP_SECRET,
            "verification_token": sandbox.VERIFICATION_TOKEN,
            "encrypt_key": sandbox.ENCRYPT_KEY,
            "base_url": simulator.url,
        }
        provider = make("feishu_app", options, clock=SystemClock())
        sender = HttpSender(provider, transport, SystemClock(), timeout=10)

        async def send(address: str, reference: str) -> wire.AttemptResult:
            one = message(to=wire.Address(chat=address), reference=reference)
            [result] = await sender.plan([one])[0].make(None)
            return result

        first = await send("ou_1", "r-1")
        again = await send("ou_1", "r-1")
        gone = await send("gone-1", "r-2")
        report = await asyncio.wait_for(came.get(), 10)
        simulator.prove("c-1")
        proof = await asyncio.wait_for(came.get(), 10)

    assert isinstance(first, wire.Accepted)
    assert first == again
    assert simulator.log.taken == 1
    assert isinstance(gone, wire.Rejected)
    assert gone.suppress
    assert provider.verify_receipt(report)
    [receipt] = provider.read_receipts(report)
    assert receipt.provider_id == first.provider_id
    assert provider.verify_receipt(proof)
    assert json.loads(provider.answer_receipt(proof).body) == {"challenge": "c-1"}
