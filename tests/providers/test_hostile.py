"""What every kind makes of answers and receipts that are broken, cut off or of other types.

They are made of a kind's recordings, so that each field which an adapter looks at is wrong once.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.model import errors, wire
from gateway.providers import base
from tests.providers.test_conformance import HTTP_KINDS, RESULTS

HERE = Path(__file__).parent
Make = Callable[..., Any]
Message = Callable[..., wire.Message]

STATUSES = (200, 201, 202, 204, 301, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503)
PAGE = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
#: The last is deeper than parsers go.
BROKEN = (b"", PAGE, b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000)
HUGE = (b" " * 10**7, b'{"message": "' + b"x" * 10**7 + b'"}')
OTHERS: tuple[object, ...] = (
    None,
    True,
    -1,
    1.5,
    10**30,
    "x",
    "\ud800",
    "",
    [],
    [None],
    {},
    {"x": {}},
)


@pytest.fixture(name="message")
def fixture_message(message: Message, kind: str) -> Message:
    """To somebody whom the kind can reach."""
    path = HERE / kind / "address.json"
    if not path.exists():
        return message
    to = wire.Address(**json.loads(path.read_text()))
    return lambda **changes: message(**{"to": to, **changes})


def recordings(kind: str) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """(start line, headers, body) of all of a kind."""
    for path in sorted((HERE / kind).glob("*.http")):
        head, _, body = path.read_bytes().partition(b"\n\n")
        start, *lines = head.decode().split("\n")
        pairs = (line.partition(": ") for line in lines)
        yield start, {name.lower(): value for name, _, value in pairs}, body


def spoilt(body: bytes) -> Iterator[bytes]:
    """Cut off anywhere, and with each of its values replaced by each other type."""
    for end in range(0, len(body), max(1, len(body) // 25)):
        yield body[:end]
    try:
        whole = json.loads(body)
    except ValueError:
        return
    for place in places(whole):
        for other in OTHERS:
            yield json.dumps(put(whole, place, other)).encode()


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    if not isinstance(value, dict | list):
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from ((key, *rest) for rest in places(inner))


def put(value: Any, place: tuple[Any, ...], other: object) -> Any:
    """A copy with something else in that place."""
    if not place:
        return other
    copy = value.copy()
    copy[place[0]] = put(value[place[0]], place[1:], other)
    return copy


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_each_broken_answer_gives_each_message_a_result(
    make: Make, message: Message, kind: str
) -> None:
    provider: base.HttpProvider = make(kind)
    messages = [message(id=str(number)) for number in range(min(2, provider.batch_limit))]
    answers = [body for start, _, body in recordings(kind) if start.startswith("HTTP/")]
    bodies = [*BROKEN, *(one for body in answers for one in spoilt(body))]

    for status in STATUSES:
        for body in bodies:
            headers = {"content-type": "application/json", "retry-after": "soon"}
            response = wire.HttpResponse(status=status, headers=headers, body=body)
            results = provider.read_response(messages, response)
            assert len(results) == len(messages)
            assert all(isinstance(one, RESULTS) for one in results)
            taken = any(isinstance(one, wire.Accepted) for one in results)
            assert not taken or 200 <= status < 300, (status, body[:200])


@pytest.mark.parametrize("kind", HTTP_KINDS)
@pytest.mark.parametrize("status", [200, 400])
def test_answer_of_ten_megabytes_is_a_result(
    make: Make, message: Message, kind: str, status: int
) -> None:
    for body in HUGE:
        [result] = make(kind).read_response(
            [message()], wire.HttpResponse(status=status, body=body)
        )

        assert isinstance(result, RESULTS)
        assert len(getattr(result, "detail", "")) < 1000


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_broken_receipts_are_unreadable_or_name_a_message(make: Make, kind: str) -> None:
    provider: base.HttpProvider = make(kind)
    posted = [
        (start.split(" ")[1], headers, body)
        for start, headers, body in recordings(kind)
        if re.search(r" https?://[^/ ]*/[^ ]*(?:receipts|hooks)", start)
    ] or [("https://gw.example.com/v1/receipts/main", {"content-type": "application/json"}, b"{}")]

    for url, headers, whole in posted:
        for body in (*BROKEN, *spoilt(whole), *HUGE):
            read(provider, wire.HttpRequest(method="POST", url=url, headers=headers, body=body))


def read(provider: base.HttpProvider, request: wire.HttpRequest) -> None:
    provider.verify_receipt(request)
    try:
        receipts = provider.read_receipts(request)
        inbound = provider.read_inbound(request)
    except errors.UnreadableReceipt:
        return
    assert all(one.provider_id or one.reference for one in receipts)
    assert all(isinstance(one.text, str) and isinstance(one.sender, str) for one in inbound)
