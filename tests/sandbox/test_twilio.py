"""The Twilio simulator, by Twilio's own library."""

import asyncio
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.rest.api.v2010.account.message import MessageInstance

from gateway.model import wire
from gateway.sandbox import twilio_callbacks, twilio_rules
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate
from gateway.sandbox.twilio import ACCOUNT_SID, AUTH_TOKEN, TwilioSimulator

SENDER = "+15005550006"
RECIPIENT = "+15005551234"
SERVICE = "MG" + "0" * 31 + "1"
REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"


class Diverted:
    """Twilio's own client, connected to the simulator."""

    def __init__(self, url: str) -> None:
        self._client = TwilioHttpClient(timeout=20, pool_connections=False)
        self._url = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        return self._client.request(method, self._url + urlsplit(url).path, *args, **kwargs)


async def create(
    simulator: TwilioSimulator, *, token: str = AUTH_TOKEN, **fields: Any
) -> MessageInstance:
    """Create a message; `to`, `from_` and `body` have defaults."""
    client = Client(ACCOUNT_SID, token, http_client=Diverted(simulator.url))
    given = {"to": RECIPIENT, "from_": SENDER, "body": "Your code is 4711", **fields}
    return await asyncio.to_thread(client.messages.create, **given)


async def refusal(simulator: TwilioSimulator, **fields: Any) -> tuple[int, int | None]:
    """(HTTP status, code) of a message that is refused."""
    with pytest.raises(TwilioRestException) as error:
        await create(simulator, **fields)
    return error.value.status, error.value.code


def form(request: wire.HttpRequest) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), strict_parsing=True))


async def test_message_is_created_as_the_library_expects() -> None:
    async with TwilioSimulator() as simulator:
        message = await create(simulator)

    assert (message.status, message.error_code, message.num_segments) == ("queued", None, "1")
    assert (message.to, message.from_, message.body) == (RECIPIENT, SENDER, "Your code is 4711")
    assert message.direction == "outbound-api"
    assert message.date_created is not None
    [arrival] = simulator.log.arrivals
    assert (arrival.id, arrival.to, arrival.fate) == (message.sid, RECIPIENT, Fate.TAKEN)


async def test_message_of_a_service_is_accepted_without_a_sender_yet() -> None:
    async with TwilioSimulator() as simulator:
        message = await create(simulator, from_=None, messaging_service_sid=SERVICE)

    assert (message.status, message.from_, message.num_segments) == ("accepted", None, "0")
    assert message.messaging_service_sid == SERVICE


async def test_callbacks_are_signed_and_tell_the_course_of_the_message(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    callback = f"{sink_url}/v1/receipts/twilio?ref={REFERENCE}&x=%2F"
    async with TwilioSimulator() as simulator, asyncio.timeout(20):
        message = await create(simulator, status_callback=callback + "#rc=3&rp=all")
        await simulator.reporter.join()

    validator = RequestValidator(AUTH_TOKEN)
    assert len(inbox) == 2
    for request in inbox:
        assert request.url == callback
        assert validator.validate(callback, form(request), request.headers["x-twilio-signature"])
        assert form(request)["MessageSid"] == message.sid
    assert {form(one)["MessageStatus"] for one in inbox} == {"sent", "delivered"}
    assert len({one.headers["i-twilio-idempotency-token"] for one in inbox}) == 2
    assert simulator.log.arrivals[0].reference == REFERENCE


def test_signature_is_the_published_one() -> None:
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
        "Caller": "+14158675309",
    }

    found = twilio_callbacks.signature(
        "12345", "https://mycompany.com/myapp.php?foo=1&bar=2", fields
    )

    assert found == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    ("event", "statuses", "code"),
    [
        (wire.ReceiptEvent.DELIVERED, ["queued", "sent", "delivered"], None),
        (wire.ReceiptEvent.READ, ["queued", "sent", "delivered", "read"], None),
        (wire.ReceiptEvent.SENT, ["queued", "sent"], None),
        (wire.ReceiptEvent.FAILED, ["queued", "sent", "undelivered"], "30003"),
        (wire.ReceiptEvent.EXPIRED, ["queued", "failed"], "30036"),
        (wire.ReceiptEvent.OPTED_OUT, ["queued", "sent", "undelivered"], "30630"),
        (None, [], None),
    ],
)
async def test_receipt_knob_ends_the_course(
    sink_url: str,
    inbox: list[wire.HttpRequest],
    event: wire.ReceiptEvent | None,
    statuses: list[str],
    code: str | None,
) -> None:
    knobs = Knobs(receipt=event, receipt_delay=0.2)
    async with TwilioSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await create(simulator, from_=None, messaging_service_sid=SERVICE, status_callback=sink_url)
        await simulator.reporter.join()

    assert [form(one)["MessageStatus"] for one in inbox] == statuses
    assert [form(one).get("ErrorCode") for one in inbox][-1:] == [code] * bool(statuses)


async def test_receipts_can_be_repeated(sink_url: str, inbox: list[wire.HttpRequest]) -> None:
    async with TwilioSimulator(knobs=Knobs(receipt_repeats=2)) as simulator, asyncio.timeout(20):
        await create(simulator, status_callback=sink_url)
        await simulator.reporter.join()

    assert sorted(form(one)["MessageStatus"] for one in inbox) == ["delivered"] * 3 + ["sent"] * 3


@pytest.mark.parametrize(
    ("fragment", "scripted", "tries"),
    [
        ("", [500, 500, 500], 1),
        ("#rc=3&rp=all", [500, 404, 302, 500], 4),
        ("#rc=2&rp=5xx", [500, 500, 500], 3),
        ("#rc=2&rp=5xx", [404, 404], 1),
        ("#rc=2&rp=4xx,5xx", [404, 500, 200], 3),
        ("#rc=0&rp=all", [500, 500], 1),
        ("#rc=9&rp=all", [500, 500, 500], 2),
    ],
)
async def test_callback_is_tried_again_as_its_fragment_says(
    sink_url: str,
    inbox: list[wire.HttpRequest],
    answers: list[int],
    fragment: str,
    scripted: list[int],
    tries: int,
) -> None:
    answers += scripted
    knobs = Knobs(receipt=wire.ReceiptEvent.SENT, receipt_retry_delay=0)
    async with TwilioSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await create(simulator, status_callback=f"{sink_url}/cb{fragment}")
        await simulator.reporter.join()

    assert len(inbox) == tries
    assert len({one.headers["i-twilio-idempotency-token"] for one in inbox}) == 1


async def test_unreachable_callback_is_tried_once_more(unused_tcp_port: int) -> None:
    knobs = Knobs(receipt=wire.ReceiptEvent.SENT, receipt_retry_delay=0)
    async with TwilioSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await create(simulator, status_callback=f"http://127.0.0.1:{unused_tcp_port}/cb")
        await simulator.reporter.join()

    assert simulator.reporter.counts == {"connect": 2}


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"to": "+1500"}, 400, 21211),
        ({"to": "15005551234"}, 400, 21211),
        ({"to": SENDER}, 400, 21266),
        ({"from_": None}, 400, 21603),
        ({"from_": "not a sender at all"}, 400, 21212),
        ({"from_": None, "messaging_service_sid": "MG1"}, 404, 21701),
        ({"body": None}, 400, 21602),
        ({"body": "x" * 1601}, 400, 21617),
        ({"media_url": ["https://example.com/a.png"] * 11}, 400, 21623),
        ({"status_callback": "ftp://example.com"}, 400, 21609),
        ({"status_callback": "https://my_host.example.com/"}, 400, 21609),
        ({"validity_period": 0}, 400, 21624),
        ({"validity_period": 36_001}, 400, 21624),
        ({"from_": "+15005550001"}, 400, 21212),
        ({"from_": "+15005550007"}, 400, 21606),
        ({"from_": "+15005550008"}, 429, 21611),
    ],
)
async def test_wrong_field_has_its_code(fields: dict[str, Any], status: int, code: int) -> None:
    async with TwilioSimulator() as simulator:
        assert await refusal(simulator, **fields) == (status, code)
        assert simulator.log.counts == {Fate.INVALID: 1}


async def test_missing_recipient_has_its_code(session: aiohttp.ClientSession) -> None:
    async with TwilioSimulator() as simulator:
        url = f"{simulator.url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
        headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)}

        async with session.post(url, data={"Body": "x"}, headers=headers) as response:
            body = await response.json()

    assert body == {
        "code": 21604,
        "message": "A 'To' phone number is required.",
        "more_info": "https://www.twilio.com/docs/errors/21604",
        "status": 400,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"body": "x" * 1600, "validity_period": 36_000},
        {"body": None, "media_url": ["https://example.com/a.png"] * 10},
        {"body": None, "content_sid": "HX" + "0" * 32},
        {"from_": "EXAMPLE"},
        {"from_": "12345"},
    ],
)
async def test_fields_at_their_limits_are_taken(fields: dict[str, Any]) -> None:
    async with TwilioSimulator() as simulator:
        assert (await create(simulator, **fields)).sid


async def test_wrong_token_and_wrong_account_are_refused(session: aiohttp.ClientSession) -> None:
    async with TwilioSimulator() as simulator:
        assert await refusal(simulator, token="falsch") == (401, 20003)
        url = f"{simulator.url}/2010-04-01/Accounts/AC{'2' * 32}/Messages.json"
        headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)}
        async with session.post(url, data={}, headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (404, 20404)

        assert simulator.log.total == 0


@pytest.mark.parametrize(
    ("to", "status", "code"),
    [
        ("+15005550001", 400, 21211),
        ("+15005550002", 400, 21612),
        ("+15005550003", 403, 21408),
        ("+15005550004", 400, 21610),
        ("+15005550009", 400, 21614),
        ("+15005550015", 500, 20500),
        ("+15005550016", 429, 20429),
        ("+15005550019", 401, 20003),
    ],
)
async def test_magic_recipient_is_refused(to: str, status: int, code: int) -> None:
    async with TwilioSimulator() as simulator:
        assert await refusal(simulator, to=to) == (status, code)
        assert simulator.log.taken == 0


@pytest.mark.parametrize(
    ("to", "last"),
    [
        ("+15005550010", "undelivered"),
        ("+15005550011", "failed"),
        ("+15005550012", "undelivered"),
        ("+15005550013", "sent"),
        ("+15005550014", None),
    ],
)
async def test_magic_recipient_has_its_receipt(
    sink_url: str, inbox: list[wire.HttpRequest], to: str, last: str | None
) -> None:
    async with TwilioSimulator(knobs=Knobs(receipt_delay=0.1)) as simulator, asyncio.timeout(20):
        await create(simulator, to=to, status_callback=sink_url)
        await simulator.reporter.join()

    assert (form(inbox[-1])["MessageStatus"] if inbox else None) == last


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Fate.TEMPORARY, 500, 20500),
        (Fate.THROTTLED, 429, 20429),
        (Fate.PERMANENT, 400, 21618),
        (Fate.RECIPIENT, 400, 21211),
        (Fate.CREDENTIAL, 401, 20003),
    ],
)
async def test_error_knob_has_its_code(error: Fate, status: int, code: int) -> None:
    async with TwilioSimulator(knobs=Knobs(error_rate=1, error=error)) as simulator:
        assert await refusal(simulator) == (status, code)


@pytest.mark.parametrize(("retry_after", "header"), [(None, None), (1.5, "2"), (30, "30")])
async def test_throttling_says_how_long_to_wait_only_if_told_to(
    session: aiohttp.ClientSession, retry_after: float | None, header: str | None
) -> None:
    knobs = Knobs(throttle=1, retry_after=retry_after)
    async with TwilioSimulator(knobs=knobs, now=lambda: 0.0) as simulator:
        await create(simulator)
        url = f"{simulator.url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
        fields = {"To": RECIPIENT, "From": SENDER, "Body": "x"}
        headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)}
        async with session.post(url, data=fields, headers=headers) as response:
            assert (response.status, response.headers.get("Retry-After")) == (429, header)

    assert [one.answer for one in simulator.log.arrivals] == ["201", "20429"]


@pytest.mark.parametrize("kind", ["", "STOP"])
async def test_what_somebody_writes_comes_signed(
    sink_url: str, inbox: list[wire.HttpRequest], kind: str
) -> None:
    async with TwilioSimulator(knobs=Knobs(receipt_url=f"{sink_url}/in?a=1")) as simulator:
        async with asyncio.timeout(20):
            sid = simulator.write(RECIPIENT, "Stop it, 请", to=SENDER, opt_out_type=kind)
            await simulator.reporter.join()

    [request] = inbox
    told = form(request)
    signature = request.headers["x-twilio-signature"]
    assert RequestValidator(AUTH_TOKEN).validate(request.url, told, signature)
    assert (told["MessageSid"], told["From"], told["To"]) == (sid, RECIPIENT, SENDER)
    assert (told["Body"], told["SmsStatus"]) == ("Stop it, 请", "received")
    assert told.get("OptOutType", "") == kind


@pytest.mark.parametrize("to", ["+15005550017", "+15005550018"])
async def test_lost_and_hanging_recipients_get_no_answer(
    session: aiohttp.ClientSession, to: str
) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        came.set()

    async with TwilioSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        sending = asyncio.create_task(create(simulator, to=to))
        await came.wait()
        taken = simulator.log.taken
        simulator.knobs.refuse = True
        with pytest.raises(Exception, match=r"Connection|connection"):
            await sending

    assert taken == (1 if to.endswith("17") else 0)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("é" * 160, 1),
        ("中" * 70, 1),
        ("中" * 71, 2),
        ("`" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_segments_are_counted(body: str, count: int) -> None:
    assert twilio_rules.segments(body) == count
