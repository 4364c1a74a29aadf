"""The SES simulator, by Amazon's own library; its topic, by the rules of SNS."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import botocore.config
import botocore.session
import orjson
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.model import wire
from gateway.sandbox import aws_signature
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.sandbox.ses import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, TOPIC_ARN, SesSimulator

Session = aiohttp.ClientSession
Inbox = list[wire.HttpRequest]

REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"
MAIL: dict[str, Any] = {
    "FromEmailAddress": "Example <noreply@example.com>",
    "Destination": {"ToAddresses": ["li@example.com"]},
    "Content": {"Simple": {"Subject": {"Data": "Hello"}, "Body": {"Text": {"Data": "Hi"}}}},
    "EmailTags": [{"Name": "gw_id", "Value": REFERENCE}],
    "ConfigurationSetName": "events",
}


def client(simulator: SesSimulator, **changes: str) -> Any:
    keys = {
        "aws_access_key_id": ACCESS_KEY_ID,
        "aws_secret_access_key": SECRET_ACCESS_KEY,
        "region_name": REGION,
    }
    return botocore.session.Session().create_client(
        "sesv2",
        endpoint_url=simulator.url,
        config=botocore.config.Config(retries={"max_attempts": 0}, proxies={}),
        **{**keys, **changes},
    )


async def send(simulator: SesSimulator, *, keys: dict[str, str] | None = None, **mail: Any) -> str:
    """The id of a mail that is taken."""

    def call() -> str:
        answer = client(simulator, **(keys or {})).send_email(**{**MAIL, **mail})
        return str(answer["MessageId"])

    return await asyncio.to_thread(call)


async def refusal(simulator: SesSimulator, **mail: Any) -> tuple[int, str]:
    """(HTTP status, code) of a mail that is refused."""
    with pytest.raises(ClientError) as error:
        await send(simulator, **mail)
    answer = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


async def test_mail_is_taken_as_the_library_expects() -> None:
    async with SesSimulator() as simulator:
        id = await send(simulator)

    [arrival] = simulator.log.arrivals
    assert (arrival.id, arrival.to, arrival.fate) == (id, "li@example.com", Fate.TAKEN)
    assert arrival.reference == REFERENCE


@pytest.mark.parametrize(
    "keys",
    [
        {"aws_secret_access_key": "wrong"},
        {"aws_access_key_id": "wrong"},
        {"region_name": "us-east-1"},
        {"aws_session_token": "surprise"},
    ],
)
async def test_wrong_keys_are_refused(keys: dict[str, str]) -> None:
    async with SesSimulator() as simulator:
        status, code = await refusal(simulator, keys=keys)

    assert status == 403
    assert code in (aws_signature.STRANGER, aws_signature.WRONG)
    assert simulator.log.total == 0


async def test_temporary_credentials_need_their_token() -> None:
    async with SesSimulator(session_token="abc") as simulator:
        await send(simulator, keys={"aws_session_token": "abc"})

        assert await refusal(simulator) == (403, aws_signature.STRANGER)


def signed(**changes: Any) -> aws_signature.Request:
    fields: dict[str, Any] = {
        "method": "POST",
        "path": "/v2/email/outbound-emails",
        "query": "",
        "headers": {
            "content-type": "application/json",
            "host": "email.us-east-1.amazonaws.com",
            "x-amz-date": "20150830T123600Z",
            "authorization": (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/ses/aws4_request, "
                "SignedHeaders=content-type;host;x-amz-date, Signature="
                "7eddfcce97278a358358e8508c0b0f6c4d00c0791c7f3c6d5801f715dbf45aa5"
            ),
        },
        "body": (
            b'{"FromEmailAddress":"sender@example.com","Destination":{"ToAddresses":'
            b'["rcpt@example.org"]},"Content":{"Simple":{"Subject":{"Data":"Hello",'
            b'"Charset":"UTF-8"},"Body":{"Text":{"Data":"Hi","Charset":"UTF-8"}}}}}'
        ),
    }
    return aws_signature.Request(**{**fields, **changes})


KEYS = aws_signature.Keys(
    access_key_id="AKIDEXAMPLE",
    secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    region="us-east-1",
    service="ses",
)
#: of x-amz-date
NOW = 1_440_938_160


def with_headers(**changes: str) -> aws_signature.Request:
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    return signed(headers={**signed().headers, **changed})


def test_signature_of_the_published_vector_is_good() -> None:
    assert aws_signature.fault(signed(), KEYS, now=NOW) == ""


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (signed(body=b"{}"), aws_signature.WRONG),
        (signed(method="PUT"), aws_signature.WRONG),
        (signed(path="/v2/email/other"), aws_signature.WRONG),
        (signed(query="a=b"), aws_signature.WRONG),
        (with_headers(content_type="text/plain"), aws_signature.WRONG),
        (with_headers(x_amz_date="20150830T123601Z"), aws_signature.WRONG),
        (with_headers(x_amz_date="yesterday"), aws_signature.WRONG),
        (with_headers(x_amz_extra="unsigned"), aws_signature.WRONG),
        (with_headers(authorization="Bearer x"), aws_signature.INCOMPLETE),
        (with_headers(authorization=""), aws_signature.MISSING),
        (with_headers(x_amz_security_token="x"), aws_signature.STRANGER),
    ],
)
def test_what_was_changed_after_signing_is_refused(
    request_: aws_signature.Request, code: str
) -> None:
    assert aws_signature.fault(request_, KEYS, now=NOW) == code


@pytest.mark.parametrize(("off", "code"), [(299, ""), (-299, ""), (301, "x"), (-301, "x")])
def test_signature_is_good_for_five_minutes(off: int, code: str) -> None:
    found = aws_signature.fault(signed(), KEYS, now=NOW + off)

    assert bool(found) is bool(code)


def simple(**changes: Any) -> dict[str, Any]:
    return {"Content": {"Simple": {**MAIL["Content"]["Simple"], **changes}}}


@pytest.mark.parametrize(
    "changes",
    [
        {"Destination": {}},
        {"Destination": {"ToAddresses": ["li@example.com"] * 51}},
        {"Destination": {"ToAddresses": ["nobody"]}},
        simple(Attachments=[{"FileName": "", "RawContent": b"x"}]),
        simple(Attachments=[{"FileName": "a", "RawContent": b"x", "ContentId": "x" * 79}]),
        {"Destination": {"ToAddresses": ["李@example.com"]}},
        {"FromEmailAddress": "Müller <a@example.com>"},
        {"Content": {}},
        {"Content": {"Raw": {"Data": b"x"}, **MAIL["Content"]}},
        simple(Body={}),
        simple(Headers=[{"Name": "A", "Value": "x"}] * 16),
        simple(Headers=[{"Name": "A", "Value": "ü"}]),
        simple(Headers=[{"Name": "A:", "Value": "x"}]),
        {"EmailTags": [{"Name": "a", "Value": "a.b"}]},
        {"ConfigurationSetName": "two words"},
    ],
)
async def test_mail_that_breaks_a_rule_is_refused(changes: dict[str, Any]) -> None:
    async with SesSimulator() as simulator:
        assert await refusal(simulator, **changes) == (400, "BadRequestException")

    assert simulator.log.counts == {Fate.INVALID: 1}


async def test_raw_mail_is_taken() -> None:
    raw = {"Raw": {"Data": b"Subject: x\r\n\r\nHi"}}
    async with SesSimulator() as simulator:
        assert await send(simulator, Content=raw)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("invalid", 400, "BadRequestException"),
        ("big", 400, "MessageRejected"),
        ("later", 500, "InternalFailure"),
        ("throttled", 429, "TooManyRequestsException"),
        ("credential", 403, "UnrecognizedClientException"),
    ],
)
async def test_addresses_decide(name: str, status: int, code: str) -> None:
    to = {"ToAddresses": [f"{name}+1@example.com"]}
    async with SesSimulator() as simulator:
        assert await refusal(simulator, Destination=to) == (status, code)


async def test_rate_is_limited() -> None:
    async with SesSimulator(knobs=Knobs(throttle=1.0), now=lambda: 0.0) as simulator:
        await send(simulator)

        assert await refusal(simulator) == (429, "TooManyRequestsException")


# The topic


def canonical(note: dict[str, str]) -> bytes:
    if note["Type"] == "Notification":
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    else:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    return "".join(f"{name}\n{note[name]}\n" for name in names if name in note).encode()


async def check(session: Session, note: dict[str, str]) -> None:
    """Raises unless the certificate that it names has signed it."""
    async with session.get(note["SigningCertURL"]) as response:
        key = x509.load_pem_x509_certificate(await response.read()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    algorithm = hashes.SHA1() if note["SignatureVersion"] == "1" else hashes.SHA256()
    key.verify(base64.b64decode(note["Signature"]), canonical(note), padding.PKCS1v15(), algorithm)


def notes(inbox: Inbox) -> list[dict[str, str]]:
    return [orjson.loads(one.body) for one in inbox]


async def arrived(simulator: SesSimulator, inbox: Inbox, count: int) -> list[dict[str, str]]:
    async with asyncio.timeout(20):
        await simulator.reporter.join()
    assert len(inbox) == count
    return notes(inbox)


async def confirm(session: Session, note: dict[str, str]) -> int:
    async with session.get(note["SubscribeURL"]) as response:
        return response.status


@pytest.mark.parametrize("version", ["1", "2"])
async def test_endpoint_confirms_before_it_gets_anything(
    session: Session, sink_url: str, inbox: Inbox, version: Any
) -> None:
    knobs = Knobs(receipt_url=sink_url)
    async with SesSimulator(signature_version=version, knobs=knobs) as simulator:
        id = await send(simulator)
        [request] = await arrived(simulator, inbox, 1)
        assert request["Type"] == "SubscriptionConfirmation"
        await check(session, request)

        assert await confirm(session, request) == 200
        _, greeting, *events = await arrived(simulator, inbox, 4)
        for one in (greeting, *events):
            await check(session, one)

    assert greeting["Message"].startswith("Successfully validated SNS topic")
    told = {orjson.loads(one["Message"])["eventType"]: one for one in events}
    assert set(told) == {"Send", "Delivery"}
    mail = orjson.loads(told["Delivery"]["Message"])["mail"]
    assert mail["messageId"] == id
    assert mail["tags"] == {"ses:configuration-set": ["events"], "gw_id": [REFERENCE]}
    for note, posted in zip(notes(inbox), inbox, strict=True):
        assert posted.headers["x-amz-sns-message-type"] == note["Type"]
        assert posted.headers["x-amz-sns-message-id"] == note["MessageId"]
        assert note["TopicArn"] == TOPIC_ARN
        assert note["SignatureVersion"] == version


@pytest.mark.parametrize(
    "spoil",
    [
        lambda query: {**query, "Token": "x"},
        lambda query: {**query, "TopicArn": "x"},
        lambda query: {**query, "Action": "Unsubscribe"},
        lambda query: {},
    ],
)
async def test_only_the_right_token_confirms(
    session: Session,
    sink_url: str,
    inbox: Inbox,
    spoil: Callable[[dict[str, str]], dict[str, str]],
) -> None:
    async with SesSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        await send(simulator)
        [request] = await arrived(simulator, inbox, 1)
        query = {
            key: one[0] for key, one in parse_qs(urlsplit(request["SubscribeURL"]).query).items()
        }

        async with session.get(f"{simulator.url}/", params=spoil(query)) as response:
            assert response.status == 400
        await arrived(simulator, inbox, 1)


async def test_confirming_twice_changes_nothing(
    session: Session, sink_url: str, inbox: Inbox
) -> None:
    async with SesSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        await send(simulator)
        [request] = await arrived(simulator, inbox, 1)

        assert await confirm(session, request) == 200
        assert await confirm(session, request) == 200
        await arrived(simulator, inbox, 4)


@pytest.mark.parametrize(("status", "tries"), [(503, 2), (400, 1), (204, 1)])
async def test_only_faults_of_the_endpoint_are_tried_again(
    sink_url: str, inbox: Inbox, answers: list[int], status: int, tries: int
) -> None:
    answers.append(status)
    knobs = Knobs(receipt_url=sink_url, receipt_retry_delay=0.0)
    async with SesSimulator(knobs=knobs) as simulator:
        await send(simulator)
        found = await arrived(simulator, inbox, tries)

    assert len({one["MessageId"] for one in found}) == 1


async def test_mail_without_a_configuration_set_is_not_reported_on(
    sink_url: str, inbox: Inbox
) -> None:
    async with SesSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        await send(simulator, ConfigurationSetName="")

        await arrived(simulator, inbox, 0)
