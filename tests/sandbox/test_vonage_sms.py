"""The simulator of Vonage's SMS API, by Vonage's own library."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
import requests
from requests.adapters import HTTPAdapter
from vonage_http_client.auth import Auth
from vonage_http_client.http_client import HttpClient, HttpClientOptions
from vonage_sms import Sms, SmsMessage
from vonage_sms.errors import SmsError
from vonage_sms.responses import SmsResponse

from gateway.model import wire
from gateway.sandbox import vonage_sms
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate
from gateway.sandbox.vonage_sms import API_KEY, API_SECRET, SIGNATURE_SECRET, VonageSmsSimulator

REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"
GOOD = {"from": "Acme", "to": "447700900000", "text": "Your code is 4711"}
BASIC = {"Authorization": aiohttp.encode_basic_auth(API_KEY, API_SECRET)}


class Plain(HTTPAdapter):
    """The library speaks nothing but TLS; the simulator none."""

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, *args, **options)


async def send(
    simulator: VonageSmsSimulator, auth: Auth | None = None, **fields: Any
) -> SmsResponse:
    host = simulator.url.removeprefix("http://")
    http = HttpClient(
        auth or Auth(api_key=API_KEY, api_secret=API_SECRET),
        HttpClientOptions(rest_host=host, timeout=20, max_retries=0),
    )
    http._session.mount("https://", Plain())
    given = {"to": "447700900000", "from_": "Acme", "text": "Your code is 4711", **fields}
    return await asyncio.to_thread(Sms(http).send, SmsMessage(**given))


async def post(
    simulator: VonageSmsSimulator,
    session: aiohttp.ClientSession,
    fields: dict[str, str],
    headers: dict[str, str] = BASIC,
) -> list[dict[str, str]]:
    """The segments of an answer, which is 200 in any case."""
    url = f"{simulator.url}/sms/json"
    async with session.post(url, data=fields, headers=headers) as response:
        assert response.status == 200
        body = await response.json()
    segments: list[dict[str, str]] = body["messages"]
    assert body["message-count"] == str(len(segments))
    return segments


def told(request: wire.HttpRequest, method: str = "sha256") -> dict[str, str]:
    """The fields of a webhook whose signature is good."""
    fields: dict[str, str] = json.loads(request.body)
    auth = Auth(api_key=API_KEY, signature_secret=SIGNATURE_SECRET, signature_method=method)
    assert auth.check_signature(dict(fields))
    return fields


async def test_message_is_taken_as_the_library_expects() -> None:
    async with VonageSmsSimulator() as simulator:
        answer = await send(simulator, client_ref=REFERENCE)

    [segment] = answer.messages
    [arrival] = simulator.log.arrivals
    assert (arrival.id, arrival.to, arrival.fate) == (
        segment.message_id,
        "+447700900000",
        Fate.TAKEN,
    )
    assert (arrival.reference, segment.client_ref) == (REFERENCE, REFERENCE)


@pytest.mark.parametrize(
    ("text", "kind", "count"),
    [("x" * 161, "text", 2), ("中" * 71, "unicode", 2), ("中", "unicode", 1)],
)
async def test_every_segment_has_an_id(text: str, kind: str, count: int) -> None:
    async with VonageSmsSimulator() as simulator:
        answer = await send(simulator, text=text, type=kind)

    assert len({one.message_id for one in answer.messages}) == count


async def test_pair_in_the_form_is_good_too(session: aiohttp.ClientSession) -> None:
    async with VonageSmsSimulator() as simulator:
        pair = {"api_key": API_KEY, "api_secret": API_SECRET}

        [taken] = await post(simulator, session, GOOD | pair, {})
        [refused] = await post(simulator, session, GOOD | pair | {"api_secret": "x"}, {})

    assert (taken["status"], refused["status"]) == ("0", "4")


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256", "sha512"])
async def test_signed_request_is_taken(session: aiohttp.ClientSession, method: str) -> None:
    auth = Auth(api_key=API_KEY, signature_secret=SIGNATURE_SECRET, signature_method=method)
    fields: dict[str, Any] = {**GOOD, "text": "a=b&c", "api_key": API_KEY}
    fields["sig"] = auth.sign_params(fields)
    fields["timestamp"] = str(fields["timestamp"])
    async with VonageSmsSimulator(signature_method=method) as simulator:
        [taken] = await post(simulator, session, fields, {})
        [forged] = await post(simulator, session, fields | {"text": "x"}, {})
        [both] = await post(simulator, session, fields, BASIC)

    assert (taken["status"], forged["status"], both["status"]) == ("0", "14", "32")


async def test_old_signature_and_other_account_are_refused(
    session: aiohttp.ClientSession,
) -> None:
    async with VonageSmsSimulator() as simulator:
        for change in ({"timestamp": "1"}, {"timestamp": "x"}, {"api_key": "other"}):
            fields = {**GOOD, "api_key": API_KEY, "timestamp": "1", **change}
            fields["sig"] = vonage_sms.signature(fields, SIGNATURE_SECRET, "sha256")
            [refused] = await post(simulator, session, fields, {})

            assert refused["status"] == "14"


def test_hash_of_the_documents() -> None:
    fields = {
        "message-timestamp": "2013-11-21 15:27:30",
        "messageId": "020000001B0FE827",
        "msisdn": "14843472194",
        "text": "Test again",
        "timestamp": "1385047698",
        "to": "13239877404",
        "type": "text",
    }

    found = vonage_sms.signature(fields, "my_secret_key_for_testing", "md5hash")

    assert found == "d2e7b1dc968737c5998ad624e02f90b7"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": ""}, "2"),
        ({"from": ""}, "2"),
        ({"text": ""}, "2"),
        ({"type": "binary"}, "2"),
        ({"type": "smoke"}, "3"),
        ({"to": "+447700900000"}, "3"),
        ({"from": "a name too long"}, "15"),
        ({"ttl": "19999"}, "3"),
        ({"ttl": "604800001"}, "3"),
        ({"ttl": "x"}, "3"),
        ({"client-ref": "x" * 101}, "3"),
        ({"callback": "gw.example.com"}, "23"),
        ({"callback": "http://["}, "23"),
        ({"callback": "https://gw.example.com/" + "x" * 100}, "23"),
        ({"text": "x" * 153 * 256}, "12"),
    ],
)
async def test_wrong_field_has_its_status(
    session: aiohttp.ClientSession, changes: dict[str, str], code: str
) -> None:
    async with VonageSmsSimulator() as simulator:
        [refused] = await post(simulator, session, GOOD | changes)

        assert refused["status"] == code
        assert refused["error-text"]
        assert simulator.log.counts == {Fate.INVALID: 1}


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (wire.ReceiptEvent.SENT, "buffered", "0"),
        (wire.ReceiptEvent.DELIVERED, "delivered", "0"),
        (wire.ReceiptEvent.FAILED, "failed", "2"),
        (wire.ReceiptEvent.EXPIRED, "expired", "1"),
        (wire.ReceiptEvent.OPTED_OUT, "rejected", "9"),
    ],
)
async def test_receipts_are_signed_and_come_for_each_segment(
    sink_url: str,
    inbox: list[wire.HttpRequest],
    event: wire.ReceiptEvent,
    status: str,
    code: str,
) -> None:
    async with VonageSmsSimulator(knobs=Knobs(receipt=event)) as simulator, asyncio.timeout(20):
        answer = await send(simulator, text="x" * 161, callback=sink_url, client_ref=REFERENCE)
        await simulator.reporter.join()

    reports = [told(one) for one in inbox]
    assert {one["messageId"] for one in reports} == {one.message_id for one in answer.messages}
    assert {(one["status"], one["err-code"]) for one in reports} == {(status, code)}
    assert {(one["msisdn"], one["to"]) for one in reports} == {("447700900000", "Acme")}
    assert {one["client-ref"] for one in reports} == {REFERENCE}


async def test_receipt_that_was_not_accepted_comes_again(
    sink_url: str, inbox: list[wire.HttpRequest], answers: list[int]
) -> None:
    answers += [500, 404]
    knobs = Knobs(receipt_retry_delay=0, receipt_url=sink_url)
    async with VonageSmsSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await send(simulator)
        await simulator.reporter.join()

    assert len({told(one)["nonce"] for one in inbox}) == 3


async def test_what_somebody_writes_goes_to_the_account(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    async with VonageSmsSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        async with asyncio.timeout(20):
            id = simulator.write("+447700900000", "stop it", to="+447700900001")
            await simulator.reporter.join()

    fields = told(inbox[0])
    assert (fields["msisdn"], fields["to"]) == ("447700900000", "447700900001")
    assert (fields["messageId"], fields["text"], fields["keyword"]) == (id, "stop it", "STOP")
    assert "status" not in fields


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("15005550001", "33"),
        ("15005550002", "6"),
        ("15005550015", "5"),
        ("15005550016", "1"),
        ("15005550019", "4"),
    ],
)
async def test_magic_recipient_is_refused(to: str, code: str) -> None:
    async with VonageSmsSimulator() as simulator:
        with pytest.raises(SmsError, match=f"error code {code}:"):
            await send(simulator, to=to)

        assert simulator.log.taken == 0


@pytest.mark.parametrize("to", ["15005550017", "15005550018"])
async def test_lost_and_hanging_recipients_get_no_answer(to: str) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        came.set()

    async with VonageSmsSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        sending = asyncio.create_task(send(simulator, to=to))
        await came.wait()
        taken = simulator.log.taken
        simulator.knobs.refuse = True
        with pytest.raises(requests.ConnectionError):
            await sending

    assert taken == (1 if to.endswith("17") else 0)
