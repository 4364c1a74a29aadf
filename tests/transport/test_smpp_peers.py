"""Binds to message centres that others wrote: smpp34, and the package smpp of npm where it is."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import smpp34

from gateway.clock import SystemClock
from gateway.model import smpp
from gateway.providers import smpp_text
from gateway.transport.smpp import PooledSmppTransport
from gateway.transport.smpp_options import SmppOptions
from gateway.transport.smpp_pdu import Bind

TEXTS = ["Hello @€", "中文", "a" * 200]


def parts(text: str) -> Sequence[smpp.Submit]:
    whole = smpp.Submit(
        source="Acme",
        source_ton=5,
        destination="447700900000",
        validity_period="000000010000000R",
        registered_delivery=1,
    )
    return smpp_text.parts(whole, text, "r", alphabet="gsm7", way="udh")


@contextlib.asynccontextmanager
async def bound(port: int, taken: list[smpp.Delivery]) -> AsyncIterator[PooledSmppTransport]:
    async def take(deliveries: Sequence[smpp.Delivery]) -> Sequence[int]:
        taken.extend(deliveries)
        return [0] * len(deliveries)

    options = SmppOptions(
        host="127.0.0.1", port=port, bind=Bind(system_id="esme1", password="secret"), window=64
    )
    async with PooledSmppTransport(options, clock=SystemClock()) as transport:
        transport.begin(take)
        yield transport


@contextlib.asynccontextmanager
async def rust_centre(seen: list[Any]) -> AsyncIterator[int]:
    """Takes every message, keeps it, and reports on it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    server = smpp34.Server(host="127.0.0.1", port=port, system_id="rust")
    await server.start()

    async def serve() -> None:
        sessions: dict[str, smpp34.Esme] = {}
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                sessions[event.session_id] = event
            elif isinstance(event, smpp34.SubmitSmEvent):
                seen.append(event)
                event.accept(message_id=str(len(seen)))
                reported = await sessions[event.session_id].deliver_sm(
                    event.source_addr,
                    b"id:%d stat:DELIVRD" % len(seen),
                    source_addr=event.destination_addr,
                    esm_class=4,
                )
                assert reported.is_success

    task = asyncio.create_task(serve())
    yield port
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await server.stop()


async def test_centre_in_rust_takes_messages_and_its_receipts_are_taken() -> None:
    seen: list[Any] = []
    taken: list[smpp.Delivery] = []
    submits = [part for text in TEXTS for part in parts(text)]

    async with asyncio.timeout(30), rust_centre(seen) as port, bound(port, taken) as transport:
        answers = [await transport.send(one, timeout=5.0) for one in submits]
        many = await asyncio.gather(*(transport.send(submits[0], timeout=5.0) for _ in range(100)))
        while len(taken) < len(seen):  # noqa: ASYNC110 - a library of another runtime
            await asyncio.sleep(0.001)

    assert [answer.message_id for answer in answers] == ["1", "2", "3", "4"]
    assert {answer.status for answer in many} == {0}
    assert [event.short_message for event in seen[:4]] == [one.short_message for one in submits]
    assert [event.esm_class for event in seen[:4]] == [0, 0, 0x40, 0x40]
    assert [event.data_coding for event in seen[:4]] == [0, 8, 0, 0]
    assert taken[0].message == b"id:1 stat:DELIVRD"


def has_node_package() -> bool:
    node = shutil.which("node")
    if node is None:
        return False
    tried = subprocess.run([node, "-e", "require('smpp')"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not has_node_package(), reason="needs node and its package smpp")
async def test_centre_in_javascript_takes_messages_and_its_receipts_are_taken() -> None:
    taken: list[smpp.Delivery] = []
    process = await asyncio.create_subprocess_exec(
        "node",
        str(Path(__file__).with_name("smpp_centre.js")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    assert process.stdin is not None
    async with asyncio.timeout(30):
        port = json.loads(await process.stdout.readline())["port"]
        async with bound(port, taken) as transport:
            submits = [part for text in TEXTS for part in parts(text)]
            answers = [await transport.send(one, timeout=5.0) for one in submits]
            while len(taken) < len(submits):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.001)
        process.stdin.close()
        said = [json.loads(line) for line in (await process.stdout.read()).splitlines()]
        await process.wait()

    seen = [one for one in said if "to" in one]
    assert [answer.message_id for answer in answers] == ["1", "2", "3", "4"]
    assert [one["text"] for one in seen] == ["Hello @€", "中文", "a" * 153, "a" * 47]
    assert [len(one["udh"]) for one in seen] == [0, 0, 1, 1]
    assert {one["source"] for one in seen} == {"Acme"}
    assert all(one["validity"] for one in seen)
    assert {"unbound": True} in said
    assert [one for one in said if "receipt" in one] == [{"receipt": 0}] * 4
    assert {"enquired": "enquire_link_resp"} in said
    assert {one.parameters[smpp.RECEIPTED_MESSAGE_ID] for one in taken} == {
        b"1\0",
        b"2\0",
        b"3\0",
        b"4\0",
    }
