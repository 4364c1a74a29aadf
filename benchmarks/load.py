"""Posts messages to a gateway and waits for what becomes of them."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping

import aiohttp
import orjson

from benchmarks import raw
from benchmarks.processes import Running

KEY = "benchmark-key-0123456789abcdef"

#: Connections to a provider, for the gateway and for its yardsticks; also of who posts one by one.
CONNECTIONS = 64

#: The same to a mail server.
SMTP_CONNECTIONS = 16

#: Pushes under way at a time, over one connection.
PUSHES = 256

#: Submits without an answer on one bind to a message centre.
WINDOW = 64

SUBJECT = "Your parcel"
TEXT = "Your parcel is on its way."

#: Messages in a batch, and batches under way.
BATCH, _AT_ONCE = 500, 4

#: Seconds between posts of an open loop, unless told otherwise.
_TICK = 0.01

#: Shortest and longest time between looks at the gateway's metrics, in seconds.
_LOOK, _LONGEST_LOOK = 0.02, 2.0

#: What is taken for the time that is left while nothing is seen to move.
_UNKNOWN = 0.2

#: A tenant that may do anything, without bounds.
TENANT = f'[tenants.bench]\nkeys = ["{KEY}"]\nscopes = ["send", "read", "recipients", "admin"]\n'

#: Called with (done, of) as work goes on.
Progress = Callable[[int, int], None]

#: Number and category to a message as it is posted.
Make = Callable[[int, str], Mapping[str, object]]


def unseen(done: int, of: int) -> None:
    """A progress that nobody watches."""


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"})


def provider(
    url: str,
    *,
    name: str = "acme",
    channel: str = "sms",
    to: str = "to.phone",
    extra: str = "",
) -> str:
    """TOML of an `http` provider account at a simulator."""
    return (
        f'[providers.{name}]\nkind = "http"\nchannel = "{channel}"\nurl = "{url}/v1/send"\n'
        f'body = {{ to = "{{{{ {to} }}}}", '
        'text = "{{ content.text }}", ref = "{{ message_id }}" }\n'
        f'message_id = "id"\nconcurrency = {CONNECTIONS}\n{extra}\n'
    )


def phone(number: int) -> str:
    """A mobile number for each message."""
    return f"+86138{number:08d}"


def email(number: int) -> str:
    """A mailbox for each message."""
    return f"user{number:08d}@example.org"


def device(number: int) -> str:
    """A device's token for each push, as Apple makes them."""
    return f"{number:064x}"


def message(number: int, category: str = "service") -> Mapping[str, object]:
    """A message as it is posted."""
    return {
        "to": {"phone": phone(number)},
        "content": {"text": TEXT},
        "category": category,
    }


async def post(
    client: aiohttp.ClientSession,
    gateway: Running,
    count: int,
    progress: Progress = unseen,
    *,
    category: str = "service",
    first: int = 0,
    make: Make = message,
) -> None:
    """Post `count` messages in batches; returns when all were acknowledged."""
    batches = iter(range(first, first + count, BATCH))
    done = 0

    async def send() -> None:
        nonlocal done
        for start in batches:
            size = min(BATCH, first + count - start)
            await post_batch(client, gateway, start, size, category, make)
            done += size
            progress(done, count)

    await asyncio.gather(*(send() for _ in range(_AT_ONCE)))


async def post_batch(
    client: aiohttp.ClientSession,
    gateway: Running,
    first: int,
    count: int,
    category: str,
    make: Make = message,
) -> list[str]:
    """The ids of one batch."""
    body = [make(number, category) for number in range(first, first + count)]
    url = f"{gateway.api}/v1/messages/batch"
    headers = {"Content-Type": "application/json"}
    async with client.post(url, data=orjson.dumps(body), headers=headers) as answer:
        results = orjson.loads(await answer.read())
        if answer.status != 202:
            raise RuntimeError(f"the gateway answered {answer.status}: {results!s:.500}")
    return [one["id"] for one in results["results"]]


async def arrive(
    client: aiohttp.ClientSession,
    gateway: Running,
    rate: float,
    seconds: float,
    *,
    category: str = "service",
    first: int = 0,
    make: Make = message,
    tick: float = _TICK,
) -> list[float]:
    """Post messages at random moments, whatever the gateway does (an open loop).

    tick: seconds; what comes in one is posted together at its end.

    When each was due, in seconds of the machine's monotonic clock: what is posted late counts from
    then, so that no delay hides behind another.
    """
    chance, due, begun = random.Random(1), list[float](), time.monotonic()
    async with asyncio.TaskGroup() as group:
        at, posted = begun + chance.expovariate(rate), 0
        for number in range(1, int(seconds / tick) + 1):
            while at < begun + number * tick:
                due.append(at)
                at += chance.expovariate(rate)
            await asyncio.sleep(begun + number * tick - time.monotonic())
            for start in range(posted, len(due), BATCH):
                size = min(BATCH, len(due) - start)
                group.create_task(post_batch(client, gateway, first + start, size, category, make))
            posted = len(due)
    return due


async def post_singly(
    gateway: Running, count: int, *, first: int = 0, make: Make = message
) -> None:
    """Post `count` messages, each in a request of its own; returns when all were acknowledged."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    url = f"{gateway.api}/v1/messages"
    await raw.send(
        url,
        (
            raw.request("POST", url, headers, orjson.dumps(make(number, "service")))
            for number in range(first, first + count)
        ),
        CONNECTIONS,
    )


async def until_sent(
    client: aiohttp.ClientSession,
    gateway: Running,
    count: float,
    progress: Progress = unseen,
    *,
    category: str = "service",
    timeout: float = 600.0,
) -> float:
    """Wait until so many messages of a category have been committed as sent; when that was.

    Looks ever more often as the end comes near: a look costs the gateway as much as ten messages.
    """
    started = time.perf_counter()
    labels = (f'category="{category}"', 'state="sent"')
    before: float | None = None
    while (passed := time.perf_counter() - started) < timeout:
        done = await gateway.metric_where(client, "gateway_messages_entered_total", labels)
        progress(int(done), int(count))
        if done >= count:
            return time.perf_counter()
        before = done if before is None else before
        moved = done - before
        left = passed * (count - done) / moved if moved else _UNKNOWN
        await asyncio.sleep(min(max(_LOOK, left / 2), _LONGEST_LOOK))
    raise RuntimeError(f"{count} messages were not sent in {timeout} s")
