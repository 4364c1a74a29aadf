"""The simulator of Getui, by recorded shapes."""

import asyncio
import hashlib
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.model import wire
from gateway.sandbox.getui import APP_ID, APP_KEY, MASTER_SECRET, GetuiSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate

SINGLE, BATCH = "push/single/cid", "push/single/batch/cid"
NOTICE = {"title": "T", "body": "B", "click_type": "none"}


def push(token: str = "c1", request_id: str = "", **changes: Any) -> dict[str, Any]:
    row = {
        "request_id": request_id or f"request-{token}"[:32],
        "settings": {"ttl": 7_200_000, "strategy": {"default": 1}},
        "audience": {"cid": [token]},
        "push_message": {"notification": NOTICE},
    }
    return {**row, **changes}


async def post(
    simulator: GetuiSimulator,
    session: aiohttp.ClientSession,
    path: str,
    value: Any,
    *,
    token: str = "",
    app_id: str = APP_ID,
) -> tuple[int, Any]:
    async with session.post(
        f"{simulator.url}/v2/{app_id}/{path}",
        json=value,
        headers={"token": token or simulator.tokens.issue()},
    ) as response:
        return response.status, await response.json()


def signed(timestamp: str = "1700000000000", secret: str = MASTER_SECRET) -> dict[str, str]:
    sign = hashlib.sha256(f"{APP_KEY}{timestamp}{secret}".encode()).hexdigest()
    return {"sign": sign, "timestamp": timestamp, "appkey": APP_KEY}


async def test_token_is_given_for_a_signature(session: aiohttp.ClientSession) -> None:
    async with GetuiSimulator(wall=lambda: 1_700_000_000) as simulator:
        status, answer = await post(simulator, session, "auth", signed())
        token = answer["data"]["token"]
        taken, _ = await post(simulator, session, SINGLE, push(), token=token)

    assert (status, answer["code"], taken) == (200, 0, 200)
    assert answer["data"]["expire_time"] == "1700086400000"


@pytest.mark.parametrize(
    "fields",
    [
        signed(secret="wrong"),
        signed("1699999399000"),
        signed("now"),
        {**signed(), "appkey": "other"},
        {},
    ],
)
async def test_wrong_signature_gets_no_token(
    session: aiohttp.ClientSession, fields: dict[str, str]
) -> None:
    async with GetuiSimulator(wall=lambda: 1_700_000_000) as simulator:
        status, answer = await post(simulator, session, "auth", fields)

    assert (status, answer["code"]) == (401, 10004)
    assert simulator.tokens.issued == 1  # that of the helper


async def test_signature_of_the_documents_is_good(session: aiohttp.ClientSession) -> None:
    sign = "c9c3b84c4534462de3bec3fc332756992618fc452a7e262c3e44cca16521c83f"
    fields = {"sign": sign, "timestamp": "1700000000000", "appkey": "testappkey"}
    options = {"app_key": "testappkey", "master_secret": "testmastersecret"}
    async with GetuiSimulator(**options, wall=lambda: 1_700_000_000) as simulator:  # type: ignore[arg-type]
        status, _ = await post(simulator, session, "auth", fields)

    assert status == 200


async def test_push_is_taken_once_by_its_id(session: aiohttp.ClientSession) -> None:
    async with GetuiSimulator() as simulator:
        _, first = await post(simulator, session, SINGLE, push())
        _, again = await post(simulator, session, SINGLE, push())

    [task] = first["data"]
    assert first == again
    assert first["data"][task] == {"c1": "successed_offline"}
    [arrival] = simulator.log.arrivals
    assert (arrival.id, arrival.to, arrival.fate) == (task, "c1", Fate.TAKEN)


async def test_each_device_of_a_call_has_its_own_status(session: aiohttp.ClientSession) -> None:
    rows = [push("c1"), push("gone-1"), push("c2")]
    async with GetuiSimulator() as simulator:
        _, answer = await post(simulator, session, BATCH, {"is_async": False, "msg_list": rows})

    told = {name: status for one in answer["data"].values() for name, status in one.items()}
    assert told == {
        "c1": "successed_offline",
        "gone-1": "successed_ignore",
        "c2": "successed_offline",
    }
    assert len(answer["data"]) == 3


async def test_old_token_and_another_app_are_refused(session: aiohttp.ClientSession) -> None:
    async with GetuiSimulator() as simulator:
        token = simulator.tokens.issue()
        simulator.tokens.revoke()
        _, old = await post(simulator, session, SINGLE, push(), token=token)
        _, other = await post(simulator, session, SINGLE, push(), app_id="other")

    assert (old["code"], other["code"]) == (10001, 10004)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"request_id": "short"}, "request_id"),
        ({"request_id": "x" * 33}, "request_id"),
        ({"audience": {"cid": ["c1", "c2"]}}, "audience"),
        ({"audience": {"cid": [""]}}, "target user is invalid"),
        ({"settings": {"ttl": 259_200_001}}, "ttl"),
        ({"settings": {"ttl": "1h"}}, "ttl"),
        ({"push_message": {}}, "push_message"),
        ({"push_message": {"notification": NOTICE, "transmission": "x"}}, "push_message"),
        ({"push_message": {"transmission": ""}}, "push_message"),
        ({"push_message": {"notification": {"title": "T"}}}, "notification"),
        ({"push_message": {"notification": {**NOTICE, "click_type": "url"}}}, "click_type"),
        ({"push_message": {"notification": {**NOTICE, "click_type": "x"}}}, "click_type"),
    ],
)
async def test_wrong_push_is_refused(
    session: aiohttp.ClientSession, changes: dict[str, Any], wrong: str
) -> None:
    bad = {**push(), **changes}
    async with GetuiSimulator() as simulator:
        alone = await post(simulator, session, SINGLE, bad)
        together = await post(simulator, session, BATCH, {"msg_list": [push("c9"), bad]})

    for status, answer in (alone, together):
        assert (status, answer["code"], answer["msg"]) == (400, 20001, wrong)
    assert simulator.log.taken == 0


async def test_call_of_too_many_is_refused(session: aiohttp.ClientSession) -> None:
    rows = [push(f"c{at}", f"request-number-{at}") for at in range(201)]
    async with GetuiSimulator() as simulator:
        _, many = await post(simulator, session, BATCH, {"msg_list": rows})
        _, late = await post(simulator, session, BATCH, {"is_async": True, "msg_list": rows[:1]})
        status, _ = await post(simulator, session, BATCH, {"msg_list": rows[:200]})

    assert (many["msg"], late["msg"], status) == ("msg_list", "is_async", 200)


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("rejected-1", 400, 20001),
        ("credential-1", 401, 10002),
        ("unavailable-1", 200, 2),
        ("throttled-1", 401, 10005),
    ],
)
async def test_magic_device_decides_about_its_call(
    session: aiohttp.ClientSession, token: str, status: int, code: int
) -> None:
    async with GetuiSimulator() as simulator:
        found, answer = await post(
            simulator, session, BATCH, {"msg_list": [push("c1"), push(token)]}
        )

    assert (found, answer["code"]) == (status, code)
    assert simulator.log.taken == 0


@pytest.mark.parametrize(
    ("token", "code"),
    [("c1", 200), ("failed-1", 500), ("uninstalled-1", 401), ("expired-1", 400), ("silent-1", 0)],
)
async def test_receipt_is_a_signed_line(
    session: aiohttp.ClientSession,
    sink_url: str,
    inbox: list[wire.HttpRequest],
    token: str,
    code: int,
) -> None:
    async with GetuiSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        async with asyncio.timeout(20):
            _, answer = await post(simulator, session, SINGLE, push(token))
            await simulator.reporter.join()

    assert [orjson.loads(request.body)["code"] for request in inbox] == ([code] if code else [])
    for request in inbox:
        line = orjson.loads(request.body)
        [task] = answer["data"]
        signed = f"{APP_ID}{token}{task}{line['msgid']}{MASTER_SECRET}"
        assert request.body.endswith(b"}\n")
        assert line["sign"] == hashlib.md5(signed.encode()).hexdigest()


async def test_receipt_that_was_refused_does_not_come_again(
    session: aiohttp.ClientSession,
    sink_url: str,
    inbox: list[wire.HttpRequest],
    answers: list[int],
) -> None:
    answers.append(503)
    async with GetuiSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        async with asyncio.timeout(20):
            await post(simulator, session, SINGLE, push())
            await simulator.reporter.join()

    assert len(inbox) == 1


@pytest.mark.parametrize(("token", "taken"), [("lost-1", 2), ("hung-1", 0)])
async def test_lost_and_hanging_devices_get_no_answer(
    session: aiohttp.ClientSession, token: str, taken: int
) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        if simulator.log.total == 2:
            came.set()

    async with GetuiSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        rows = {"msg_list": [push("c1"), push(token)]}
        sending = asyncio.create_task(post(simulator, session, BATCH, rows))
        await came.wait()
        simulator.knobs.hang = False
        with pytest.raises(aiohttp.ClientError):
            await sending

    assert simulator.log.taken == taken
