"""The sink answers another client as a provider does, and knows each message by its number."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from benchmarks import load, sink


@pytest.fixture
async def times() -> list[tuple[int, float]]:
    return []


@pytest.fixture
async def port(times: list[tuple[int, float]]) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: sink.Connection(times, sink.answerer()), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_messages_are_known_by_their_numbers(
    port: int, times: list[tuple[int, float]]
) -> None:
    async with aiohttp.ClientSession() as session:
        for number in (7, 12_345_678):
            body = {"to": load.phone(number), "text": load.TEXT}
            async with session.post(f"http://127.0.0.1:{port}/v1/send", json=body) as answer:
                assert (await answer.json())["id"]

    assert [number for number, _ in times] == [7, 12_345_678]


async def test_requests_in_pieces_and_behind_each_other_are_counted_once(
    port: int, times: list[tuple[int, float]]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    requests = b"".join(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for body in (b'{"to":"%b"}' % load.phone(number).encode() for number in (1, 2, 3))
    )

    for start in range(0, len(requests), 37):
        writer.write(requests[start : start + 37])
        await writer.drain()
        await asyncio.sleep(0)
    heads = [await reader.readuntil(b"}") for _ in range(3)]
    writer.close()

    assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads)
    assert [number for number, _ in times] == [1, 2, 3]


def test_answer_can_have_a_part_for_each_number() -> None:
    numbers = [load.phone(number) for number in (7, 8)]
    request = b'{"PhoneNumberSet":["%b","%b"]}' % tuple(one.encode() for one in numbers)

    said = sink.answerer(body='{"of":[{each}]}', each='{"to":"{number}"}')(request)

    assert said.endswith(
        b'\r\n\r\n{"of":[{"to":"%b"},{"to":"%b"}]}' % tuple(one.encode() for one in numbers)
    )
