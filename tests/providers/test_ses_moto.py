"""SES and SNS against moto, which others wrote: mails it stores, notifications it signs.

What moto leaves out, and only our own tests cover: it checks no signature of a request (botocore
does, in `test_ses` and `test_sigv4`), keeps of a mail no headers, tags and files, knows no bulk
call, publishes no events of mails by itself, asks nobody to confirm a subscription, and signs no
`Subject`, so that notifications here have none.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import orjson
import pytest
from aiohttp import test_utils, web
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.server import ThreadedMotoServer
from moto.ses.models import Message as StoredMail
from moto.ses.models import ses_backends

from gateway.clock import SystemClock
from gateway.model import wire
from gateway.providers import ses
from gateway.transport.http import AiohttpTransport
from tests.providers import sns_notes

Make = Callable[..., ses.Provider]
Message = Callable[..., wire.Message]
Client = Callable[[str], Any]

REGION = "us-west-2"
SENDER = "no-reply@example.com"
REFERENCE = "0195500a-5c00-7000-8000-000000000001-0-0-0"


@pytest.fixture(name="moto", scope="module")
def fixture_moto() -> Iterator[str]:
    """Runs moto; its origin."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(name="client", scope="module")
def fixture_client(moto: str) -> Client:
    """Amazon's own client of a service, to set up what we then use."""
    session = botocore.session.get_session()
    return lambda service: session.create_client(
        service,
        region_name=REGION,
        endpoint_url=moto,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )


@pytest.fixture(name="sender", scope="module")
def fixture_sender(client: Client) -> str:
    client("sesv2").create_email_identity(EmailIdentity=SENDER)
    return SENDER


@pytest.fixture(name="topic", scope="module")
def fixture_topic(client: Client) -> str:
    arn: str = client("sns").create_topic(Name="ses")["TopicArn"]
    return arn


def account(make: Make, moto: str, **changes: Any) -> ses.Provider:
    options: dict[str, Any] = {
        "region": REGION,
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "secret",
        "from": f"Example <{SENDER}>",
        "base_url": moto,
    }
    return make("ses", {**options, **changes}, clock=SystemClock())


async def send(provider: ses.Provider, *messages: wire.Message) -> list[wire.AttemptResult]:
    results: list[wire.AttemptResult] = []
    async with AiohttpTransport() as transport:
        for carried, request in provider.build_requests(messages):
            response = await transport.send(request, timeout=30)
            results += provider.read_response(carried, response)
    return results


def stored(result: wire.AttemptResult) -> StoredMail:
    """What moto has of a mail that it took. Its region is that of our signature's scope."""
    assert isinstance(result, wire.Accepted), result
    mails = ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages
    [found] = [mail for mail in mails if mail.id == result.provider_id]
    assert isinstance(found, StoredMail)
    return found


async def test_mails_arrive_each_under_its_id(
    make: Make, message: Message, moto: str, sender: str
) -> None:
    people = ["li@example.com", "wang@example.com", "zhang@xn--fsq.example"]
    messages = [
        message(
            to=wire.Address(email=address),
            content=wire.Content(subject=f"订单 {place} ❤", text="Hi", html=f"<p>{place} ❤</p>"),
        )
        for place, address in enumerate(people)
    ]

    results = await send(account(make, moto), *messages)

    mails = [stored(result) for result in results]
    assert [mail.destinations["ToAddresses"] for mail in mails] == [[one] for one in people]
    assert [mail.subject for mail in mails] == [f"订单 {place} ❤" for place in range(3)]
    assert [mail.body for mail in mails] == [f"<p>{place} ❤</p>" for place in range(3)]
    assert {mail.source for mail in mails} == {f"Example <{sender}>"}


async def test_text_alone_arrives(make: Make, message: Message, moto: str, sender: str) -> None:
    content = wire.Content(subject="Code", text="Your code is 4711")

    [result] = await send(account(make, moto), message(content=content))

    assert stored(result).body == "Your code is 4711"


async def test_sender_whom_nobody_has_verified_is_refused(
    make: Make, message: Message, moto: str, sender: str
) -> None:
    provider = account(make, moto, **{"from": "stranger@example.org"})

    [result] = await send(provider, message())

    assert isinstance(result, wire.Rejected)
    assert (result.code, result.scope) == ("MessageRejected", wire.Scope.PROVIDER)
    assert not result.suppress


@asynccontextmanager
async def endpoint() -> AsyncIterator[tuple[str, asyncio.Queue[wire.HttpRequest]]]:
    """Where SNS posts to, and what it posts."""
    posts: asyncio.Queue[wire.HttpRequest] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        posts.put_nowait(
            wire.HttpRequest(
                method=request.method,
                url=str(request.url),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=await request.read(),
            )
        )
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/receipts/main", take)
    async with test_utils.TestServer(app) as server:
        yield str(server.make_url("/v1/receipts/main")), posts


def event(reference: str) -> str:
    """A bounce as SES publishes it."""
    bounced = {
        "eventType": "Bounce",
        "bounce": {"bounceType": "Permanent", "bounceSubType": "General"},
        "mail": {"messageId": "0100-000000", "tags": {"gw_id": [reference]}},
    }
    return orjson.dumps(bounced).decode()


async def published(client: Client, topic: str, text: str) -> wire.HttpRequest:
    """What a topic's subscriber gets when the text is published."""
    sns = client("sns")
    async with endpoint() as (url, posts), asyncio.timeout(30):
        arn = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=url)["SubscriptionArn"]
        await asyncio.to_thread(sns.publish, TopicArn=topic, Message=text)
        post = await posts.get()
        sns.unsubscribe(SubscriptionArn=arn)
    return post


async def fetch(moto: str, request: wire.HttpRequest) -> wire.HttpResponse:
    """As it is, but from moto, which finds a service by a signature's scope, not by its host."""
    parts = urlsplit(request.url)
    scope = f"AWS4-HMAC-SHA256 Credential=x/20260301/{REGION}/sns/aws4_request, Signature=x"
    moved = wire.HttpRequest(
        method=request.method,
        url=f"{moto}{parts.path}{parts.query and '?'}{parts.query}",
        headers={**request.headers, "authorization": scope},
    )
    async with AiohttpTransport() as transport:
        return await transport.send(moved, timeout=30)


async def test_notification_is_believed_by_the_certificate_that_it_names(
    make: Make, moto: str, client: Client, topic: str
) -> None:
    provider = account(make, moto, topic_arns=[topic])

    post = await published(client, topic, event(REFERENCE))
    wanted = provider.evidence_request(post)
    assert wanted is not None
    certificate = await fetch(moto, wanted)

    assert provider.verify_with(post, certificate)
    [receipt] = provider.read_receipts(post)
    assert (receipt.reference, receipt.event) == (REFERENCE, wire.ReceiptEvent.BOUNCED)
    assert receipt.suppress


async def test_notification_that_was_changed_on_its_way_is_not_believed(
    make: Make, moto: str, client: Client, topic: str
) -> None:
    provider = account(make, moto, topic_arns=[topic])
    post = await published(client, topic, event(REFERENCE))
    wanted = provider.evidence_request(post)
    assert wanted is not None
    certificate = await fetch(moto, wanted)

    other = REFERENCE.replace("0001-", "0002-").encode()
    forged = wire.HttpRequest(
        method=post.method,
        url=post.url,
        headers=post.headers,
        body=post.body.replace(REFERENCE.encode(), other),
    )

    assert forged.body != post.body
    assert not provider.verify_with(forged, certificate)


async def test_topic_of_others_is_not_believed_though_its_signature_is_good(
    make: Make, moto: str, client: Client, topic: str
) -> None:
    provider = account(make, moto, topic_arns=[topic + "-other"])

    post = await published(client, topic, event(REFERENCE))

    assert provider.evidence_request(post) is None


async def test_call_that_confirms_a_subscription_is_one_that_sns_understands(
    make: Make, moto: str, topic: str
) -> None:
    provider = account(make, moto, topic_arns=[topic])
    url = f"https://sns.{REGION}.amazonaws.com/?Action=ConfirmSubscription&TopicArn={topic}&Token=2"
    asked = sns_notes.confirmation(datetime.now(UTC), TopicArn=topic, SubscribeURL=url)

    call = provider.follow_up(sns_notes.post(asked))
    assert call is not None
    answer = await fetch(moto, call)

    assert answer.status == 200
    assert b"ConfirmSubscriptionResult" in answer.body
