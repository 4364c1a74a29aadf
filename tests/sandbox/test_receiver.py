"""The tenant's receiver believes what the reference library signs, and nothing else."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from standardwebhooks import Webhook

from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate
from gateway.sandbox.receiver import ReceiverSimulator

BODY = '{"type":"message.sent","data":{"id":"m-1"}}'
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def signed(secret: str, *, id: str = "msg_1", age: float = 0, body: str = BODY) -> dict[str, str]:
    """Headers as the reference library makes them, `age` seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=age)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, at, body),
    }


async def post(
    session: aiohttp.ClientSession,
    receiver: ReceiverSimulator,
    headers: dict[str, str],
    *,
    path: str = "/hooks",
    body: str = BODY,
) -> int:
    async with session.post(f"{receiver.url}{path}", data=body, headers=headers) as response:
        return response.status


async def test_signed_webhook_is_taken(session: aiohttp.ClientSession, secret: str) -> None:
    async with ReceiverSimulator(secrets=[secret]) as receiver:
        status = await post(session, receiver, signed(secret))

    assert status == 204
    assert receiver.bodies == {"msg_1": {"type": "message.sent", "data": {"id": "m-1"}}}
    [arrival] = receiver.log.arrivals
    assert (arrival.id, arrival.to, arrival.fate) == ("msg_1", "/hooks", Fate.TAKEN)


async def test_any_of_several_secrets_and_signatures_will_do(
    session: aiohttp.ClientSession, secret: str
) -> None:
    headers = signed(secret)
    headers["webhook-signature"] = "v1,AAAA v9,x " + headers["webhook-signature"]

    async with ReceiverSimulator(secrets=[OTHER, secret]) as receiver:
        assert await post(session, receiver, headers) == 204


async def test_webhook_that_comes_twice_is_kept_once(
    session: aiohttp.ClientSession, secret: str
) -> None:
    async with ReceiverSimulator(secrets=[secret]) as receiver:
        for id in ("msg_1", "msg_1", "msg_2"):
            await post(session, receiver, signed(secret, id=id))

    assert list(receiver.bodies) == ["msg_1", "msg_2"]
    assert receiver.duplicates == 1
    assert receiver.log.copies() == {"msg_1": 2, "msg_2": 1}


@pytest.mark.parametrize("age", [-400, 400])
async def test_timestamp_must_be_near(
    session: aiohttp.ClientSession, secret: str, age: float
) -> None:
    async with ReceiverSimulator(secrets=[secret]) as receiver:
        assert await post(session, receiver, signed(secret, age=age)) == 400
        assert receiver.log.arrivals[0].answer == "the timestamp is not within five minutes"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_missing_header_is_refused(
    session: aiohttp.ClientSession, secret: str, missing: str
) -> None:
    headers = signed(secret)
    del headers[missing]

    async with ReceiverSimulator(secrets=[secret]) as receiver:
        assert await post(session, receiver, headers) == 400


async def test_changed_body_id_or_key_is_refused(
    session: aiohttp.ClientSession, secret: str
) -> None:
    async with ReceiverSimulator(secrets=[secret]) as receiver:
        changed = await post(session, receiver, signed(secret), body=BODY + " ")
        renamed = await post(session, receiver, {**signed(secret), "webhook-id": "msg_2"})
        foreign = await post(session, receiver, signed(OTHER))
        dotted = await post(session, receiver, signed(secret, id="msg.1"))

    assert [changed, renamed, foreign, dotted] == [400] * 4
    assert receiver.bodies == {}
    assert receiver.log.counts == {Fate.INVALID: 4}


async def test_body_must_be_a_json_object(session: aiohttp.ClientSession) -> None:
    async with ReceiverSimulator() as receiver:
        assert await post(session, receiver, {}, body="[]") == 400
        assert await post(session, receiver, {}, body="{") == 400
        assert await post(session, receiver, {}) == 204


@pytest.mark.parametrize(
    ("path", "status"),
    [("/gone/x", 410), ("/broken", 500), ("/busy/7", 429), ("/well", 204), ("/", 204)],
)
async def test_path_decides_the_answer(
    session: aiohttp.ClientSession, path: str, status: int
) -> None:
    async with ReceiverSimulator() as receiver:
        assert await post(session, receiver, {"webhook-id": "a"}, path=path) == status
        assert receiver.log.taken == (status == 204)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Fate.TEMPORARY, 500),
        (Fate.THROTTLED, 429),
        (Fate.RECIPIENT, 410),
        (Fate.PERMANENT, 400),
        (Fate.CREDENTIAL, 401),
    ],
)
async def test_error_knob_has_its_status(
    session: aiohttp.ClientSession, error: Fate, status: int
) -> None:
    async with ReceiverSimulator(knobs=Knobs(error_rate=1, error=error)) as receiver:
        assert await post(session, receiver, {}) == status


async def test_lost_answer_leaves_the_webhook_taken(session: aiohttp.ClientSession) -> None:
    async with ReceiverSimulator() as receiver:
        with pytest.raises(aiohttp.ClientError):
            await post(session, receiver, {"webhook-id": "a"}, path="/lost")

        assert list(receiver.bodies) == ["a"]


async def test_hanging_path_is_never_answered(session: aiohttp.ClientSession) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        came.set()

    async with ReceiverSimulator() as receiver, asyncio.timeout(20):
        receiver.log.watchers.append(note)
        posting = asyncio.create_task(post(session, receiver, {}, path="/hang"))
        await came.wait()

        assert not posting.done()
        assert receiver.bodies == {}
        posting.cancel()


async def test_old_bodies_go_when_the_log_is_full(session: aiohttp.ClientSession) -> None:
    async with ReceiverSimulator(log_limit=2) as receiver:
        for id in "abc":
            await post(session, receiver, {"webhook-id": id})

    assert list(receiver.bodies) == ["b", "c"]
