"""A gateway as its users see it: real sockets on both sides, a real file, a foreign client."""

import asyncio
import json
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiohttp
import apsw
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks.webhooks import Webhook

from gateway import settings
from gateway.app import Gateway
from gateway.clock import Clock
from gateway.sandbox.base import Simulator
from gateway.sandbox.http import HttpServiceSimulator
from gateway.sandbox.receiver import ReceiverSimulator
from gateway.sandbox.smtp import SmtpSimulator
from gateway.sandbox.twilio import ACCOUNT_SID, AUTH_TOKEN, TwilioSimulator
from tests.e2e.stores import engine as engine
from tests.e2e.stores import sql as sql
from tests.e2e.stores import url as url
from tests.store.conftest import databases as databases
from tests.tables import merge

T = TypeVar("T")

KEY = "gw_e2e_key_of_shop"
OTHER_KEY = "gw_e2e_key_of_other"
HOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RECEIPT_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

#: Seconds after which something that should happen counts as never happening.
PATIENCE = 30.0
#: Between two looks.
_LOOK = 0.01

_BODY = {"to": "{{ to.phone }}", "text": "{{ content.text }}", "ref": "{{ reference }}"}
_MAP = {
    "DELIVRD": "delivered",
    "READ": "read",
    "UNDELIV": "failed",
    "EXPIRED": "expired",
    "REJECTD": "opted_out",
    "DELETED": "bounced",
}


async def eventually(look: Callable[[], Awaitable[T] | T], *, patience: float = PATIENCE) -> T:
    """The first true result of `look`; TimeoutError when there is none in time."""
    async with asyncio.timeout(patience):
        while True:
            found = look()
            result: T = await found if isinstance(found, Awaitable) else found
            if result:
                return result
            await asyncio.sleep(_LOOK)


def free_port() -> int:
    """A port of loopback that nobody uses, outside of those that the system gives to clients."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a hundred ports are taken")


@pytest.fixture(name="free_port")
def _free_port() -> int:
    return free_port()


class JumpClock:
    """The machine's clock, which also leaps forward when told to; everybody's sleep leaps along."""

    def __init__(self, start: datetime | None = None) -> None:
        self._offset = 0.0 if start is None else start.timestamp() - time.time()
        self._ahead = 0.0
        self._leapt = asyncio.Event()

    def now_ms(self) -> int:
        return int((time.time() + self._offset + self._ahead) * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._leapt.wait()
            except TimeoutError:
                return

    def jump(self, seconds: float) -> None:
        self._ahead += seconds
        self._leapt.set()
        self._leapt = asyncio.Event()

    def jump_to(self, at_ms: float) -> None:
        """To this time, if it is still to come."""
        self.jump(max(0.0, (at_ms - self.now_ms()) / 1000))


@pytest.fixture
def jump_clock() -> type[JumpClock]:
    return JumpClock


class Hooks:
    """A receiver of webhooks that believes the `standardwebhooks` package alone."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        #: (webhook-id, body), verified, as they came
        self.taken: list[tuple[str, dict[str, Any]]] = []
        #: ids of requests that were refused by `statuses`
        self.refused: list[str] = []
        #: what to answer next, in turn; 204 when none is left
        self.statuses: list[int] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        verified = Webhook(self.secret).verify(body, dict(request.headers))
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 204:
            self.taken.append((request.headers["webhook-id"], verified))
        else:
            self.refused.append(request.headers["webhook-id"])
        return web.Response(status=status)

    def types(self, id: str) -> list[str]:
        """Types of the reports on one message, each once, in no order that counts."""
        return sorted({body["type"] for _, body in self.taken if body["data"]["id"] == id})


class Database:
    """The gateway's file, read by somebody else while it runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(5_000)
            return list(connection.execute(query, values))
        finally:
            connection.close()

    def one(self, query: str, *values: object) -> Any:
        return self.rows(query, *values)[0][0]

    def counts(self) -> dict[str, int]:
        """Rows of the tables that a submission may add to."""
        tables = ("message", "status", "queue", "event", "attempt", "idempotency", "dedupe")
        return {table: self.one(f"SELECT count(*) FROM {table}") for table in tables}


class Api:
    """What a caller can do, by a client that is not ours."""

    def __init__(self, session: aiohttp.ClientSession, url: str, internal: str) -> None:
        self.session = session
        self.url = url
        self.internal = internal

    async def call(
        self, method: str, path: str, body: object = None, *, key: str = KEY, **headers: str
    ) -> tuple[int, Any]:
        """(status, JSON); the body goes out as JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method,
            self.url + path,
            json=body,
            headers={"Authorization": f"Bearer {key}", **named},
        ) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    async def send(self, *, headers: Mapping[str, str] | None = None, **message: Any) -> str:
        """The id of a message that was accepted."""
        status, answer = await self.call("POST", "/v1/messages", message, **(headers or {}))
        assert status == 202, answer
        return str(answer["id"])

    async def read(self, id: str, *, key: str = KEY) -> Any:
        status, answer = await self.call("GET", f"/v1/messages/{id}", key=key)
        assert status == 200, answer
        return answer

    async def until(self, id: str, *states: str) -> Any:
        """The message once it is in one of the states."""
        seen: list[Any] = []

        async def look() -> Any:
            seen[:] = [await self.read(id)]
            return seen[0] if seen[0]["state"] in states else None

        try:
            return await eventually(look)
        except TimeoutError:
            raise AssertionError(f"never in {states}: {seen}") from None

    async def metrics(self, accept: str = "") -> str:
        headers = {"Accept": accept} if accept else {}
        async with self.session.get(f"{self.internal}/metrics", headers=headers) as answer:
            return await answer.text()

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in (await self.metrics()).splitlines()
            if line.startswith((name + "{", name + " ")) and all(one in line for one in wanted)
        )


@pytest.fixture
def api() -> type[Api]:
    return Api


class Running(Api):
    """A gateway in this process."""

    def __init__(self, session: aiohttp.ClientSession, gateway: Gateway) -> None:
        super().__init__(
            session,
            f"http://127.0.0.1:{gateway.port}",
            f"http://127.0.0.1:{gateway.internal_port}",
        )
        self.gateway = gateway
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(gateway.run(self._stopping))

    async def stop(self) -> None:
        """Drain and close, as SIGTERM does. Stopping twice is harmless."""
        self._stopping.set()
        await self._task
        await self.gateway.__aexit__(None, None, None)


class Stand:
    """Simulators of everything that the configuration names, and gateways on one file."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.database = Database(folder / "gateway.db")
        self.port = free_port()
        self.acme = HttpServiceSimulator(receipt_secret=RECEIPT_SECRET)
        self.backup = HttpServiceSimulator(receipt_secret=RECEIPT_SECRET)
        self.beacon = HttpServiceSimulator(receipt_secret=RECEIPT_SECRET)
        self.twilio = TwilioSimulator()
        self.relay = SmtpSimulator()
        self.receiver = ReceiverSimulator(secrets=[HOOK_SECRET])
        self.tables: dict[str, Any] = {}

    async def open(self) -> None:
        for simulator in (self.acme, self.backup, self.beacon, self.twilio, self.relay):
            await self.enter(simulator)
        await self.enter(self.receiver)
        self.session = await self.stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE))
        )
        for name in ("acme", "backup", "beacon"):
            url = f"http://127.0.0.1:{self.port}/v1/receipts/{name}"
            getattr(self, name).knobs.receipt_url = url
        self.tables = self._tables()

    async def enter(self, simulator: Simulator) -> Simulator:
        return await self.stack.enter_async_context(simulator)

    async def start(self, changes: Mapping[str, Any] | None = None, **options: Any) -> Running:
        """A gateway with the configuration, changed; `clock` if it is to have its own."""
        clock: Clock | None = options.get("clock")
        self.tables = merge(self.tables, changes or {})
        gateway = await Gateway(settings.parse(self.tables, environ={}), clock).__aenter__()
        running = Running(self.session, gateway)
        self.stack.push_async_callback(running.stop)
        return running

    async def hooks(self, api: Api, *, secret: str = HOOK_SECRET, **more: Any) -> Hooks:
        """An endpoint of the tenant, made over the API, with a receiver behind it."""
        hooks = Hooks(secret)
        app = web.Application()
        app.router.add_post("/{path:.*}", hooks.take)
        server = await self.stack.enter_async_context(TestServer(app))
        hooks.url = str(server.make_url("/hooks"))
        body = {"url": hooks.url, "secret": secret, **more}
        status, answer = await api.call("PUT", "/v1/webhooks", body)
        assert status == 201, answer
        return hooks

    def _tables(self) -> dict[str, Any]:
        return {
            "store": {"url": f"sqlite://{self.database.path}"},
            "api": {
                "listen": f"127.0.0.1:{self.port}",
                "internal": "127.0.0.1:0",
                "public_url": f"http://127.0.0.1:{self.port}",
            },
            "dispatch": {"drain": "15s"},
            "retry": {"base": "20ms", "factor": 1.0},
            "tenants": {
                "shop": {
                    "keys": [KEY],
                    "scopes": ["send", "read", "recipients", "admin"],
                    "webhook": {"url": f"{self.receiver.url}/shop", "secret": HOOK_SECRET},
                },
                "other": {"keys": [OTHER_KEY], "scopes": ["send", "read", "recipients", "admin"]},
            },
            "webhooks": {"allow_private": ["127.0.0.0/8"]},
            "lanes": {
                "sms": {"channel": "sms", "providers": ["acme", "backup"], "spill_after": "1h"},
                "sms.uk": {
                    "channel": "sms",
                    "match": {"phone_prefix": ["+44"]},
                    "providers": ["twilio"],
                },
                "push": {"channel": "push", "providers": ["beacon"]},
                "email": {"channel": "email", "providers": ["relay"]},
            },
            "categories": {"news": {"consent": True}},
            "providers": {
                "acme": _http("sms", self.acme, _BODY),
                "backup": _http("sms", self.backup, _BODY),
                "beacon": _http("push", self.beacon, {**_BODY, "to": "{{ to.token }}"}),
                "twilio": {
                    "kind": "twilio",
                    "account_sid": ACCOUNT_SID,
                    "auth_token": AUTH_TOKEN,
                    "from": "+15005550006",
                    "base_url": self.twilio.url,
                },
                "relay": {
                    "kind": "smtp",
                    "host": "127.0.0.1",
                    "port": self.relay.port,
                    "security": "none",
                    "from": "Shop <no-reply@shop.example.com>",
                },
            },
            "templates": {
                "login-code": {"category": "otp", "sms": {"text": "{{ code }} for {{ name }}"}}
            },
        }


def _http(channel: str, simulator: Simulator, body: Mapping[str, str]) -> dict[str, Any]:
    return {
        "kind": "http",
        "channel": channel,
        "url": f"{simulator.url}/v1/send",
        "body": dict(body),
        "message_id": "id",
        "receipt": {"secret": RECEIPT_SECRET, "id": "id", "status": "status", "map": _MAP},
    }


@pytest.fixture(autouse=True)
def _no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading those of the system takes a tenth of a second, and all is on loopback here."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with AsyncExitStack() as stack:
        made = Stand(stack, tmp_path)
        await made.open()
        yield made


class Eventually(Protocol):
    """How test modules see `eventually`."""

    async def __call__(
        self, look: Callable[[], Awaitable[T] | T], *, patience: float = PATIENCE
    ) -> T: ...


@pytest.fixture(name="eventually")
def _eventually() -> Eventually:
    return eventually


def attempts(message: Mapping[str, Any]) -> list[str]:
    """Attempts in the order in which they ended, as `result/provider`."""
    return [
        f"{one['event'].removeprefix('attempt.')}/{one['provider']}"
        for one in message["timeline"]
        if one["event"].startswith("attempt.")
    ]


@pytest.fixture(name="attempts")
def _attempts() -> Callable[[Mapping[str, Any]], list[str]]:
    return attempts


def happened(message: Mapping[str, Any]) -> set[str]:
    """Everything else that the timeline tells, as `event` or `event/provider`."""
    return {
        f"{one['event']}/{one['provider']}" if one["provider"] else one["event"]
        for one in message["timeline"]
        if not one["event"].startswith("attempt.")
    }


@pytest.fixture(name="happened")
def _happened() -> Callable[[Mapping[str, Any]], set[str]]:
    return happened
