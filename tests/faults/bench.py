"""Everything around the gateways: providers behind wires, a receiver of webhooks, a caller, and the
gateways themselves, on one database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from gateway.sandbox.base import HOST, Simulator
from gateway.sandbox.http import HttpServiceSimulator
from gateway.sandbox.receiver import ReceiverSimulator
from gateway.sandbox.smtp import SmtpSimulator
from tests.faults import counts
from tests.faults.arrivals import Arrivals
from tests.faults.client import PATIENCE, Client
from tests.faults.database import Database
from tests.faults.nodes import Node
from tests.faults.traffic import HOOK_SECRET, KEY, RECEIPT_SECRET, Traffic
from tests.faults.verdict import Verdict
from tests.faults.wire import Wire
from tests.nursery import Nursery
from tests.tables import merge

T = TypeVar("T")

#: Of account `metered`: tokens a second, and what can be saved up.
RATE, BURST = 200.0, 20.0

#: Arrivals that simulators keep themselves; `Arrivals` counts all.
_KEPT = 100

#: Rows of the queue, and receipts that are to be applied.
_LEFT = """SELECT 1 WHERE EXISTS (SELECT 1 FROM queue) OR EXISTS
    (SELECT 1 FROM reference WHERE parked IS NOT NULL AND message IS NOT NULL)"""

_OTHERS = "SELECT 1 FROM queue WHERE lane <> 'webhook' LIMIT 1"

#: Between two looks, in seconds.
_LOOK, _LONGEST_LOOK = 0.02, 0.5


async def eventually(
    look: Callable[[], Awaitable[T]], *, patience: float = 60.0, what: str = "it"
) -> T:
    """The first true result of `look`. AssertionError when there is none in time."""
    pause = _LOOK
    try:
        async with asyncio.timeout(patience):
            while True:
                if found := await look():
                    return found
                await asyncio.sleep(pause)
                pause = min(_LONGEST_LOOK, 1.02 * pause)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen within {patience:.0f} s") from None


@dataclass(frozen=True, slots=True)
class Hosts:
    """Addresses at which gateways reach the two providers behind wires, and the receiver."""

    providers: str = HOST
    #: else than loopback: by a wire
    receiver: str = HOST


class Bench:
    """Enter it, then start nodes. changes: laid over the configuration of `tables`."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        *,
        seed: int,
        nodes: int = 1,
        changes: Mapping[str, Any] | None = None,
        reports: bool = True,
        node: type[Node] = Node,
        hosts: Hosts | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        self.folder = folder
        self.database = database
        self.arrivals = Arrivals()
        self.acme = HttpServiceSimulator(receipt_secret=RECEIPT_SECRET, log_limit=_KEPT)
        self.backup = HttpServiceSimulator(receipt_secret=RECEIPT_SECRET, log_limit=_KEPT)
        self.metered = HttpServiceSimulator(receipt_secret=RECEIPT_SECRET, log_limit=_KEPT)
        self.relay = SmtpSimulator(chunking=False, log_limit=_KEPT)
        self.receiver = ReceiverSimulator(secrets=[HOOK_SECRET], log_limit=2_000_000)
        self.traffic = Traffic(seed)
        self.changes = changes or {}
        self.reports = reports
        self._node = node
        self._hosts = hosts or Hosts()
        #: what the processes that run now found when the first of them started
        self.before = counts.Counts()
        #: whether one of several has been killed since, and taken its metrics with it
        self.has_gaps = False
        #: nodes that callers do not ask for the time being
        self.avoided: set[Node] = set()
        #: of the latest check
        self.verdict = Verdict()
        self._stack = AsyncExitStack()
        self._seed = seed
        self._count = nodes
        self._nursery = nursery

    async def __aenter__(self) -> "Bench":
        async with AsyncExitStack() as stack:
            self.session = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0),
                    timeout=aiohttp.ClientTimeout(total=2 * PATIENCE),
                )
            )
            for simulator in self.providers:
                simulator.knobs.turn({"receipt_retry_delay": 0.2, "receipt_jitter": 0.2})
                await stack.enter_async_context(simulator)
                self.arrivals.watch(
                    simulator, metered="metered" if simulator is self.metered else ""
                )
            await stack.enter_async_context(self.receiver)
            turns = asyncio.create_task(self.arrivals.turns.run())
            stack.callback(turns.cancel)
            self.acme_wire = await _wire(stack, self.acme, self._hosts.providers)
            self.relay_wire = await _wire(stack, self.relay, self._hosts.providers)
            self._hook = f"{self.receiver.url}/shop"
            if self._hosts.receiver != HOST:
                wire = await _wire(stack, self.receiver, self._hosts.receiver)
                self._hook = f"http://{wire.host}:{wire.port}/shop"
            self.nodes = [
                self._node(f"n{at + 1}", self.folder, self.session, self._nursery)
                for at in range(self._count)
            ]
            for node in self.nodes:
                stack.push_async_callback(node.close)
            self.client = Client(self.session, self.traffic, self._urls)
            for name in ("acme", "backup", "metered"):
                url = f"{self.nodes[0].url}/v1/receipts/{name}"
                getattr(self, name).knobs.receipt_url = url
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def _urls(self) -> list[str]:
        return [node.url for node in self.nodes if node not in self.avoided]

    @property
    def providers(self) -> list[Simulator]:
        return [self.acme, self.backup, self.metered, self.relay]

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes if node.is_running]

    # Gateways

    async def launch(self, node: Node, *under: str) -> None:
        """Start one and return at once."""
        if not self.running:
            self.before = await counts.at_rest(self.database, reports=self.reports)
            self.has_gaps = False
        await node.launch(self.tables(), under=under)

    async def start(self, node: Node | None = None) -> None:
        """Start one, the first by default, and wait until it serves."""
        node = node or self.nodes[0]
        await self.launch(node)
        await node.ready()

    async def start_all(self) -> None:
        """Those that do not run; at once, as their starts take most of a test."""
        stopped = [node for node in self.nodes if not node.is_running]
        for node in stopped:
            await self.launch(node)
        for node in stopped:
            await node.ready()

    async def kill(self, node: Node | None = None) -> None:
        node = node or self.nodes[0]
        await node.kill()
        self.has_gaps = bool(self.running)

    def tables(self) -> dict[str, Any]:
        """The configuration, less the ports."""
        tables: dict[str, Any] = {
            "store": {"url": self.database.url},
            "dispatch": {"drain": "15s"},
            # What a fault left unknown is tried again, and must not run out of tries.
            "retry": {"attempts": 50, "base": "20ms", "factor": 2.0, "cap": "300ms"},
            "breaker": {"probe_after": "100ms", "probe_cap": "300ms"},
            "tenants": {
                "shop": {
                    "keys": [KEY],
                    "scopes": ["send", "read", "admin"],
                    "webhook": {"url": self._hook, "secret": HOOK_SECRET},
                }
            },
            "webhooks": {"allow_private": ["127.0.0.0/8"], "in_flight": 32},
            "lanes": {
                "sms": {"channel": "sms", "providers": ["acme", "backup"], "spill_after": "1h"},
                "solo": _lane("+44", "acme"),
                "metered": _lane("+49", "metered"),
                "email": {"channel": "email", "providers": ["relay"]},
            },
            "providers": {
                "acme": _http(self.acme_wire.host, self.acme_wire.port),
                "backup": _http(HOST, self.backup.port),
                "metered": {**_http(HOST, self.metered.port), "rate": RATE, "burst": BURST},
                "relay": {
                    "kind": "smtp",
                    "host": self.relay_wire.host,
                    "port": self.relay_wire.port,
                    "security": "none",
                    "from": "Shop <no-reply@shop.example.com>",
                    "concurrency": 8,
                    "timeout": "300ms",
                },
            },
        }
        return merge(tables, self.changes)

    # Quiet

    async def drain(self, *, patience: float = 60.0) -> None:
        """Wait until nothing is left to do, receipts included."""
        await self._empty(patience)
        for simulator in self.providers:
            async with asyncio.timeout(patience):
                await simulator.reporter.join()
        await self._empty(patience)

    async def _empty(self, patience: float) -> None:
        async def is_empty() -> bool:
            if not await self.database.rows(_LEFT):
                return True
            if not await self.database.rows(_OTHERS):
                await self.database.hurry()
            return False

        try:
            await eventually(is_empty, patience=patience, what="an empty queue")
        except AssertionError as error:
            left = await self.database.rows(
                "SELECT lane, pin, owner, taker, attempts, epoch, due_ms, rank FROM queue LIMIT 5"
            )
            raise AssertionError(f"{error}; left: {left}") from None


async def _wire(stack: AsyncExitStack, simulator: Simulator, host: str) -> Wire:
    wire = Wire(simulator.port, host=host)
    await wire.open()
    stack.push_async_callback(wire.close)
    return wire


def _lane(prefix: str, provider: str) -> dict[str, Any]:
    return {"channel": "sms", "match": {"phone_prefix": [prefix]}, "providers": [provider]}


def _http(host: str, port: int) -> dict[str, Any]:
    return {
        "kind": "http",
        "channel": "sms",
        "url": f"http://{host}:{port}/v1/send",
        "body": {
            "to": "{{ to.phone }}",
            "text": "{{ content.text }}",
            "ref": "{{ reference }}",
        },
        "message_id": "id",
        "concurrency": 16,
        "timeout": "300ms",
        "receipt": {
            "secret": RECEIPT_SECRET,
            "id": "id",
            "status": "status",
            "map": {"DELIVRD": "delivered", "UNDELIV": "failed"},
        },
    }
