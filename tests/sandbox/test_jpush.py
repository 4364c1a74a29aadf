"""The simulator of JPush, by its own SDK and by recorded shapes."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import aiohttp
import jpush as sdk
import pytest
from jpush import common

from gateway.sandbox.jpush import APP_KEY, MASTER_SECRET, JPushSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate

Client = Callable[[JPushSimulator], Any]


@pytest.fixture(name="client")
def fixture_client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """The SDK's client of a simulator."""

    def build(simulator: JPushSimulator, secret: str = MASTER_SECRET) -> Any:
        monkeypatch.setitem(common.ZONES["DEFAULT"], "PUSH", f"{simulator.url}/v3/")
        library: Any = sdk
        return library.JPush(APP_KEY, secret)

    return build


def payload(*devices: str, **changes: Any) -> dict[str, Any]:
    return {
        "platform": ["android", "ios"],
        "audience": {"registration_id": list(devices or ["d1"])},
        "notification": {"alert": "B"},
        **changes,
    }


async def by_sdk(client: Any, *devices: str, cid: str = "", validate: bool = False) -> Any:
    def run() -> Any:
        with client.session:
            push = client.create_push()
            push.audience = {"registration_id": list(devices)}
            push.platform = ["android", "ios", "hmos"]
            push.notification = sdk.notification(
                android=sdk.android("B", title="T"), ios=sdk.ios({"title": "T", "body": "B"})
            )
            push.options = {"time_to_live": 60}
            push.cid = cid or None
            return (push.send_validate() if validate else push.send()).payload

    return await asyncio.to_thread(run)


async def post(
    simulator: JPushSimulator, session: aiohttp.ClientSession, value: Any
) -> tuple[int, Any]:
    pair = b64encode(f"{APP_KEY}:{MASTER_SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {pair}"}
    async with session.post(f"{simulator.url}/v3/push", json=value, headers=headers) as response:
        return response.status, await response.json()


async def test_push_of_the_sdk_is_taken(client: Client) -> None:
    async with JPushSimulator() as simulator:
        answer = await by_sdk(client(simulator), "d1", "gone-1")

    first, second = simulator.log.arrivals
    assert isinstance(answer["msg_id"], str)
    assert (first.id, first.to, first.fate) == (answer["msg_id"], "d1", Fate.TAKEN)
    assert (second.id, second.fate) == ("", Fate.RECIPIENT)


async def test_call_of_one_name_is_pushed_once(client: Client) -> None:
    async with JPushSimulator() as simulator:
        names = await asyncio.to_thread(lambda: client(simulator).create_push().get_cid(2, "push"))
        [first, second] = names.payload["cidlist"]
        answers = [await by_sdk(client(simulator), "d1", cid=cid) for cid in (first, first, second)]

    assert first.startswith(f"{APP_KEY}-")
    assert answers[0] == answers[1] != answers[2]
    assert simulator.log.taken == 2


async def test_dry_run_takes_nothing(client: Client) -> None:
    async with JPushSimulator() as simulator:
        answer = await by_sdk(client(simulator), "d1", validate=True)

    assert answer["msg_id"]
    assert simulator.log.total == 0


async def test_wrong_secret_is_refused(client: Any) -> None:
    async with JPushSimulator() as simulator:
        with pytest.raises(common.Unauthorized):
            await by_sdk(client(simulator, "wrong"), "d1")


async def test_call_that_reaches_nobody_is_refused(client: Client) -> None:
    async with JPushSimulator() as simulator:
        with pytest.raises(common.JPushFailure) as refused:
            await by_sdk(client(simulator), "gone-1", "gone-2")

    assert refused.value.error_code == 1011


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"platform": None}, 1002),
        ({"platform": ["symbian"]}, 1003),
        ({"audience": None}, 1002),
        ({"audience": {"registration_id": []}}, 1003),
        ({"audience": {"registration_id": [f"d{at}" for at in range(1001)]}}, 1003),
        ({"audience": {"registration_id": ["d1", "d1"]}}, 1003),
        ({"audience": {"registration_id": ["d 1"]}}, 1003),
        ({"notification": None}, 1002),
        ({"notification": "B"}, 1003),
        ({"notification": {"android": {"extras": "x"}}}, 1003),
        ({"notification": {"ios": {"alert": "B", "badge": "many"}}}, 1003),
        ({"notification": {"alert": "x" * 5000}}, 1005),
        ({"notification": None, "message": {"msg_content": ""}}, 1003),
        ({"options": {"time_to_live": 864_001}}, 1003),
        ({"options": {"apns_production": "yes"}}, 1003),
        ({"cid": "a b"}, 1003),
    ],
)
async def test_wrong_push_is_refused(
    session: aiohttp.ClientSession, changes: dict[str, Any], code: int
) -> None:
    async with JPushSimulator() as simulator:
        status, answer = await post(simulator, session, payload(**changes))

    assert (status, answer["error"]["code"]) == (400, code)
    assert simulator.log.counts == {Fate.INVALID: 1}


@pytest.mark.parametrize(
    ("device", "status", "code"),
    [
        ("rejected-1", 400, 1012),
        ("credential-1", 401, 1004),
        ("unavailable-1", 503, 1000),
        ("throttled-1", 429, 2002),
    ],
)
async def test_magic_device_decides_about_its_call(
    session: aiohttp.ClientSession, device: str, status: int, code: int
) -> None:
    async with JPushSimulator(knobs=Knobs(retry_after=2)) as simulator:
        found, answer = await post(simulator, session, payload("d1", device))

    assert (found, answer["error"]["code"]) == (status, code)
    assert simulator.log.taken == 0


@pytest.mark.parametrize(("device", "taken"), [("lost-1", 2), ("hung-1", 0)])
async def test_lost_and_hanging_devices_get_no_answer(
    session: aiohttp.ClientSession, device: str, taken: int
) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        if simulator.log.total == 2:
            came.set()

    async with JPushSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        sending = asyncio.create_task(post(simulator, session, payload("d1", device)))
        await came.wait()
        simulator.knobs.hang = False
        with pytest.raises(aiohttp.ClientError):
            await sending

    assert simulator.log.taken == taken
