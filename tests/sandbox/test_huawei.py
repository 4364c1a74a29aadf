"""The simulator of Huawei Push Kit, by Huawei's own SDK and by recorded shapes."""

import asyncio
import json
import re
from typing import Any

import aiohttp
import orjson
import pytest
from hpa import messaging
from hpa._app import ApiCallError, App

from gateway.model import wire
from gateway.sandbox import devices, huawei
from gateway.sandbox.huawei import APP_ID, APP_SECRET, HuaweiSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate

# The SDK never verifies certificates, and closes no connection.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"


def app(simulator: HuaweiSimulator, secret: str = APP_SECRET) -> Any:
    build: Any = App
    token_uri = f"{simulator.url}/oauth2/v2/token"
    return build(APP_ID, secret, token_server=token_uri, push_open_url=simulator.url)


def notice(*tokens: str, **android: Any) -> Any:
    notification: Any = messaging.AndroidNotification(
        title="T", body="B", click_action=messaging.AndroidClickAction(action_type=3)
    )
    config = messaging.AndroidConfig(notification=notification, **android)
    shown = messaging.Notification(title="T", body="B")
    return messaging.Message(notification=shown, android=config, token=list(tokens))


async def by_sdk(client: Any, message: Any, validate_only: bool = False) -> Any:
    return await asyncio.to_thread(client.send, message, validate_only)


async def post(
    simulator: HuaweiSimulator,
    session: aiohttp.ClientSession,
    message: Any,
    *,
    token: str = "",
    app_id: str = APP_ID,
) -> tuple[int, Any]:
    """(status, JSON body or text) of a send; with a good token unless one is given."""
    async with session.post(
        f"{simulator.url}/v1/{app_id}/messages:send",
        json={"validate_only": False, "message": message},
        headers={"Authorization": f"Bearer {token or simulator.tokens.issue()}"},
    ) as response:
        text = await response.text()
        return response.status, json.loads(text) if text.startswith("{") else text


async def test_push_of_the_sdk_is_taken() -> None:
    async with HuaweiSimulator() as simulator:
        answer = await by_sdk(app(simulator), notice("t1", "t2", bi_tag=REFERENCE))

    assert (answer["code"], answer["msg"]) == ("80000000", "Success")
    assert re.fullmatch(r"\d{24}", answer["requestId"])
    first, second = simulator.log.arrivals
    assert (first.to, second.to, first.fate) == ("t1", "t2", Fate.TAKEN)
    assert first.id == second.id == answer["requestId"]
    assert first.reference == REFERENCE


async def test_dry_run_of_the_sdk_takes_nothing() -> None:
    async with HuaweiSimulator() as simulator:
        answer = await by_sdk(app(simulator), notice("t1"), validate_only=True)

    assert answer["code"] == "80000000"
    assert simulator.log.total == 0


async def test_wrong_secret_of_the_sdk_gets_no_token() -> None:
    async with HuaweiSimulator() as simulator:
        with pytest.raises(ApiCallError, match="400 in get access token"):
            await by_sdk(app(simulator, "wrong"), notice("t1"))


async def test_each_bad_token_is_named_with_its_reason() -> None:
    async with HuaweiSimulator() as simulator:
        answer = await by_sdk(app(simulator), notice("t1", "gone-1", " blank"))

    assert answer["code"] == "80100000"
    assert json.loads(answer["msg"]) == {
        "success": 1,
        "failure": 2,
        "illegalTokens": {"tokenFormatError": [" blank"], "noRight": ["gone-1"]},
    }
    assert [one.fate for one in simulator.log.arrivals] == [
        Fate.TAKEN,
        Fate.RECIPIENT,
        Fate.RECIPIENT,
    ]


async def test_call_of_bad_tokens_alone_has_a_code_of_its_own() -> None:
    async with HuaweiSimulator() as simulator:
        answer = await by_sdk(app(simulator), notice("gone-1", "gone-2"))

    assert answer["code"] == "80300007"


async def test_old_and_missing_tokens_are_refused(session: aiohttp.ClientSession) -> None:
    async with HuaweiSimulator() as simulator:
        token = simulator.tokens.issue()
        simulator.tokens.revoke()

        status, body = await post(simulator, session, {"token": ["t1"], "data": "{}"}, token=token)
        unknown, _ = await post(simulator, session, {"token": ["t1"], "data": "{}"}, app_id="2")

    assert (status, body["code"]) == (401, "80200003")
    assert unknown == 404


CLICK = {"click_action": {"type": 3}}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"data": "{}"}, "80100003"),
        ({"token": ["t1"], "topic": "news", "data": "{}"}, "80100003"),
        ({"token": ["t1", "t1"], "data": "{}"}, "80100003"),
        ({"token": "t1", "data": "{}"}, "80100003"),
        ({"token": ["t1"]}, "80100003"),
        ({"token": ["t1"], "data": {}}, "80100003"),
        ({"token": [], "data": "{}"}, "80300010"),
        ({"token": [f"t{at}" for at in range(1001)], "data": "{}"}, "80300010"),
        ({"token": ["t1"], "data": "x" * 4096}, "80300008"),
        ({"token": ["t1"], "data": "{}", "android": {"collapse_key": "7"}}, "80100003"),
        ({"token": ["t1"], "data": "{}", "android": {"collapse_key": 101}}, "80100003"),
        ({"token": ["t1"], "data": "{}", "android": {"ttl": 60}}, "80100003"),
        ({"token": ["t1"], "data": "{}", "android": {"urgency": "high"}}, "80100003"),
        ({"token": ["t1"], "data": "{}", "android": {"notification": {"title": "T"}}}, "80100003"),
        ({"token": ["t1"], "data": "{}", "android": {"notification": CLICK}}, "80000000"),
        ({"token": [f"t{at}" for at in range(1000)], "data": "x" * 4000}, "80000000"),
    ],
)
async def test_wrong_message_is_refused(
    session: aiohttp.ClientSession, message: Any, code: str
) -> None:
    async with HuaweiSimulator() as simulator:
        status, body = await post(simulator, session, message)

    assert (status, body["code"]) == (200, code)


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("rejected-1", 200, "80100016"),
        ("credential-1", 200, "80300002"),
        ("unavailable-1", 500, "81000001"),
        ("throttled-1", 503, ""),
    ],
)
async def test_magic_token_decides_about_its_call(
    session: aiohttp.ClientSession, token: str, status: int, code: str
) -> None:
    async with HuaweiSimulator() as simulator:
        found, body = await post(simulator, session, {"token": ["t1", token], "data": "{}"})

    assert (found, body["code"] if code else "") == (status, code)
    assert simulator.log.taken == 0
    assert simulator.log.total == 2


async def test_throttling_counts_tokens(session: aiohttp.ClientSession) -> None:
    async with HuaweiSimulator(knobs=Knobs(throttle=2), now=lambda: 0.0) as simulator:
        first, _ = await post(simulator, session, {"token": ["t1", "t2"], "data": "{}"})
        second, _ = await post(simulator, session, {"token": ["t3"], "data": "{}"})

    assert (first, second) == (200, 503)


async def test_receipts_of_a_call_come_together_and_signed(
    session: aiohttp.ClientSession, sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    tokens = ["t1", "uninstalled-1", "expired-1", "pending-1", "failed-1", "silent-1", "gone-1"]
    knobs = Knobs(receipt_url=f"{sink_url}/v1/receipts/huawei")
    async with HuaweiSimulator(knobs=knobs, wall=lambda: 1563105451.261) as simulator:
        async with asyncio.timeout(20):
            message = {"token": tokens, "data": "{}", "android": {"bi_tag": "b"}}
            _, answer = await post(simulator, session, message)
            await simulator.reporter.join()

    [request] = inbox
    rows = orjson.loads(request.body)["statuses"]
    assert [(row["token"], row["status"]) for row in rows] == [
        ("t1", 0),
        ("uninstalled-1", 2),
        ("expired-1", 15),
        ("pending-1", 27),
        ("failed-1", 10),
    ]
    assert rows[0] == {
        "biTag": "b",
        "appid": APP_ID,
        "token": "t1",
        "status": 0,
        "timestamp": 1563105451261,
        "requestId": answer["requestId"],
    }
    assert request.headers["x-huawei-callback-id"].startswith("timestamp=1563105451261; nonce=")


async def test_a_post_has_a_hundred_statuses_at_most(
    session: aiohttp.ClientSession, sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    knobs = Knobs(receipt_url=sink_url, receipt_repeats=1)
    async with HuaweiSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        message = {"token": [f"t{at}" for at in range(101)], "data": "{}"}
        await post(simulator, session, message)
        await simulator.reporter.join()

    sizes = sorted(len(orjson.loads(request.body)["statuses"]) for request in inbox)
    assert sizes == [1, 1, 100, 100]


def test_signature_is_that_of_the_documents() -> None:
    nonce = "a07bfa17-6d82-4b53-a9a2-07cfef5ceef1"

    header = huawei.callback_id(
        "callback-secret", timestamp="1563105451261", nonce=nonce, user="callback-user"
    )

    assert header.rpartition("; value=")[2] == "H4nLJvxOHDalmOsgeXC0u/luxxGGxvy3kjQzspLYQag="


@pytest.mark.parametrize(("token", "taken"), [("lost-1", 2), ("hung-1", 0)])
async def test_lost_and_hanging_tokens_get_no_answer(
    session: aiohttp.ClientSession, token: str, taken: int
) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        if simulator.log.total == 2:
            came.set()

    async with HuaweiSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        message = {"token": ["t1", token], "data": "{}"}
        sending = asyncio.create_task(post(simulator, session, message))
        await came.wait()
        simulator.knobs.hang = False
        with pytest.raises(aiohttp.ClientError):
            await sending

    assert simulator.log.taken == taken


def test_magic_tokens_end_at_their_first_dash() -> None:
    assert devices.magic_of("gone-1-2").fate is Fate.RECIPIENT
    assert devices.magic_of("goner-1").fate is Fate.TAKEN
