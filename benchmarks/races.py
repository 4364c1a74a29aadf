"""Who races: the gateway against bare loops that store nothing, and against what others use.

Those that need a program or a package of their own are left out where it is missing.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from benchmarks import load
from benchmarks.processes import find, free_port, program, simulator, started, until_listening
from benchmarks.race import BATCHES, SINGLY, Race
from benchmarks.variant import Variant


def _lane(channel: str, provider: str) -> str:
    return f'[lanes.{channel}]\nchannel = "{channel}"\nproviders = ["{provider}"]\n'


def _http(ends: Sequence[str]) -> str:
    return load.provider(ends[0]) + _lane("sms", "acme")


def _fallback(ends: Sequence[str]) -> str:
    return (
        _http(ends)
        + load.provider(ends[1], name="second", channel="email", to="to.email")
        + _lane("email", "second")
    )


def _fallback_message(number: int, category: str = "service") -> Mapping[str, object]:
    return {
        **load.message(number, category),
        "to": {"phone": load.phone(number), "email": load.email(number)},
        "chain": [{"channel": "sms"}, {"channel": "email"}],
    }


def _smtp(ends: Sequence[str]) -> str:
    host, port = ends[0].split(":")
    return (
        f'[providers.relay]\nkind = "smtp"\nhost = "{host}"\nport = {port}\nsecurity = "none"\n'
        f'from = "Bench <bench@example.com>"\nconcurrency = {load.SMTP_CONNECTIONS}\n'
        "messages_per_connection = 1000\n"
    ) + _lane("email", "relay")


def _smtp_message(number: int, category: str = "service") -> Mapping[str, object]:
    return {
        "to": {"email": load.email(number)},
        "content": {"subject": load.SUBJECT, "text": load.TEXT},
        "category": category,
        "chain": [{"channel": "email"}],
    }


def _refusing() -> AbstractAsyncContextManager[str]:
    """A provider that takes nothing."""
    return started("-m", "benchmarks.sink", "--status", "422")


def _mail() -> AbstractAsyncContextManager[str]:
    """A mail server that takes everything; host:port."""
    return started("-m", "benchmarks.smtp_sink")


@asynccontextmanager
async def _postfix() -> AsyncIterator[str]:
    """The same in C: Postfix's own sink; host:port."""
    address = f"127.0.0.1:{(port := free_port())}"
    # It refuses to stay root.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    async with program(find(_SINK) or _SINK, *user, address, "128"):
        await until_listening(port)
        yield address


_SOURCE, _SINK = "smtp-source", "smtp-sink"

_HTTP_RACE = Race(
    name="http",
    goals={BATCHES: 1.3},
    against="a bare aiohttp loop",
    messages=20_000,
    ends=[simulator],
    yardstick="http_client",
    ceiling="http_raw",
    config=_http,
)

_SMTP_RACE = Race(
    name="smtp",
    goals={BATCHES: 4.0},
    against="a bare aiosmtplib loop",
    messages=5_000,
    ends=[_mail],
    yardstick="smtp_client",
    ceiling="smtp_raw",
    config=_smtp,
    message=_smtp_message,
)

_SOURCE_RACE = replace(
    _SMTP_RACE,
    name="smtp_source",
    goals={BATCHES: 0.5},
    against="Postfix's smtp-source -d, into Postfix's smtp-sink",
    rival=_SOURCE,
    messages=10_000,
    ends=[_postfix],
    yardstick="smtp_source",
    programs=[_SOURCE, _SINK],
)

RACES = {
    race.name: race
    for race in (
        _HTTP_RACE,
        replace(
            _HTTP_RACE,
            name="http_postgres",
            goals={BATCHES: None},
            against="beside a bare aiohttp loop",
            messages=10_000,
            ceiling=None,
            usual=Variant(postgres=True),
        ),
        replace(
            _HTTP_RACE,
            name="fallback",
            goals={BATCHES: None},
            against="beside a bare aiohttp loop that makes both calls of a message",
            messages=10_000,
            ends=[_refusing, simulator],
            ceiling=None,
            config=_fallback,
            message=_fallback_message,
        ),
        _SMTP_RACE,
        _SOURCE_RACE,
        replace(
            _SOURCE_RACE,
            name="smtp_source_py",
            goals={BATCHES: None},
            against="beside smtp-source -d, into the mail server of the other benchmarks",
            ends=[_mail],
            programs=[_SOURCE],
        ),
        replace(
            _HTTP_RACE,
            name="celery",
            goals={BATCHES: 15.0},
            against="Celery with Redis and requests",
            rival="Celery",
            messages=5_000,
            yardstick="celery_redis",
            programs=["redis-server"],
            packages=["celery", "redis", "requests"],
            apart=False,
        ),
        replace(
            _HTTP_RACE,
            name="kannel",
            goals={SINGLY: 1.5, BATCHES: 4.0},
            against="Kannel, which takes messages one by one",
            rival="Kannel",
            messages=10_000,
            yardstick="kannel",
            programs=["bearerbox", "smsbox"],
            apart=False,
        ),
    )
}
