"""Answers read from bytes, against the standard library's client as an oracle."""

import gzip
import http.client
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.lean_answer import MAX_HEAD_BYTES, AnswerReader, Unreadable

_TOKENS = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map("x-{}".format)
_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
_FIELDS = st.lists(st.tuples(_TOKENS, _VALUES), max_size=6)
_STATUSES = st.sampled_from([200, 201, 202, 301, 400, 404, 429, 500, 503])


class _Socket:
    """As much of a socket as the oracle wants."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def oracle(data: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    response = http.client.HTTPResponse(_Socket(data))  # type: ignore[arg-type]
    response.begin()
    return response.status, response.getheaders(), response.read()


def chunked(body: bytes, sizes: list[int]) -> bytes:
    parts, rest = [], body
    for size in sizes:
        part, rest = rest[:size], rest[size:]
        if part:
            parts.append(b"%x\r\n%b\r\n" % (len(part), part))
    if rest:
        parts.append(b"%x\r\n%b\r\n" % (len(rest), rest))
    return b"".join([*parts, b"0\r\n\r\n"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    body = draw(st.binary(max_size=60))
    fields = draw(_FIELDS)
    if draw(st.booleans()):
        fields.append(("Content-Length", str(len(body))))
    else:
        fields.append(("Transfer-Encoding", "chunked"))
        body = chunked(body, draw(st.lists(st.integers(1, 20), max_size=4)))
    lines = [f"HTTP/1.1 {draw(_STATUSES)} Reason"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_in_parts(reader: AnswerReader, data: bytes, cuts: list[int]) -> None:
    """Feed all of it; it must become whole with the last part and not before."""
    ends = [*sorted({cut % len(data) for cut in cuts} - {0}), len(data)]
    start = 0
    reader.start(is_head=False)
    for end in ends:
        assert reader.feed(data[start:end]) == (end == len(data))
        start = end


@given(
    sent=st.lists(answers(), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 1000), max_size=5),
)
def test_answers_in_any_parts_are_what_the_standard_library_reads(
    sent: list[bytes], cuts: list[int]
) -> None:
    reader = AnswerReader(1000)

    for data in sent:
        read_in_parts(reader, data, cuts)
        response = reader.read()

        status, fields, body = oracle(data)
        assert (response.status, response.body) == (status, body)
        for name, value in response.headers.items():
            assert value == ", ".join(v.strip() for n, v in fields if n.lower() == name)
        assert set(response.headers) == {name.lower() for name, _ in fields}
        assert reader.may_go_on


@given(data=st.binary(max_size=200))
def test_nonsense_is_unreadable_or_unfinished(data: bytes) -> None:
    reader = AnswerReader(1000)

    try:
        whole = reader.feed(b"HTTP/1.1 " + data)
    except Unreadable:
        whole = False

    assert not whole or reader.read().status >= 200


def test_trailers_are_no_headers() -> None:
    reader = AnswerReader(1000)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n"

    assert reader.feed(head + b"1\r\na\r\n0\r\nX-A: 2\r\nLocation: /evil\r\n\r\n")

    assert reader.read().headers == {"transfer-encoding": "chunked", "x-a": "1"}
    assert reader.may_go_on


@pytest.mark.parametrize("stray", [b"HTTP/1.1 500 Oops\r\n", b"H"])
def test_more_than_one_answer_ends_the_connection(stray: bytes) -> None:
    reader = AnswerReader(1000)

    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + stray)

    assert reader.read().body == b"ok"
    assert reader.read().status == 200
    assert not reader.may_go_on


@pytest.mark.parametrize(
    "head",
    [
        b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
        b"Connection: close\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Oops\r\n\r\n",
    ],
)
def test_answer_that_announces_the_end_is_the_last(head: bytes) -> None:
    reader = AnswerReader(1000)

    assert reader.feed(b"HTTP/1.1 200 OK\r\n" + head)

    assert reader.read().body == b"ok"
    assert not reader.may_go_on


def test_switch_of_protocols_is_no_answer() -> None:
    reader = AnswerReader(1000)

    with pytest.raises(Unreadable, match="not http"):
        reader.feed(b"HTTP/1.1 101 Yes\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nPRI * HTTP/2")


@pytest.mark.parametrize(
    ("fields", "whole"),
    [
        (b"", True),
        (b"Transfer-Encoding: gzip\r\n", True),
        (b"Content-Length: 9\r\n", False),
        (b"Transfer-Encoding: chunked\r\n", False),
    ],
)
def test_end_of_stream_ends_only_an_answer_without_a_length(fields: bytes, whole: bool) -> None:
    reader = AnswerReader(1000)

    assert not reader.feed(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")

    assert reader.feed_eof() == whole


def test_end_of_stream_in_the_head_is_no_answer() -> None:
    reader = AnswerReader(1000)

    assert not reader.feed(b"HTTP/1.1 200 OK\r\nX-")

    assert not reader.feed_eof()


@pytest.mark.parametrize(
    "endless",
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 10),
    ],
)
def test_whatever_never_ends_is_cut_off(endless: tuple[bytes, bytes]) -> None:
    start, more = endless
    reader = AnswerReader(1000)
    reader.start(is_head=False)
    reader.feed(start)

    def feed_on() -> None:
        for _ in range(2 * MAX_HEAD_BYTES // len(more)):
            reader.feed(more)

    with pytest.raises(Unreadable, match="answer too large"):
        feed_on()


@pytest.mark.parametrize(
    ("coding", "reason"), [("br", "answer encoding"), ("gzip, gzip", "answer encoding")]
)
def test_encoding_that_we_cannot_undo_is_unreadable(coding: str, reason: str) -> None:
    reader = AnswerReader(1000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 2\r\n\r\n"

    assert reader.feed(head.encode() + b"ok")

    with pytest.raises(Unreadable, match=reason):
        reader.read()


def test_identity_is_no_encoding() -> None:
    reader = AnswerReader(1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\nContent-Length: 2\r\n\r\n"

    assert reader.feed(head + b"ok")

    assert reader.read().body == b"ok"


@given(body=st.binary(max_size=500), size=st.integers(0, 500))
def test_gzip_in_members_is_joined_and_cut_off_gzip_is_unreadable(body: bytes, size: int) -> None:
    packed = gzip.compress(body[:size]) + gzip.compress(body[size:])
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    reader = AnswerReader(1000)

    reader.feed(head % len(packed) + packed)
    whole = reader.read()
    reader.start(is_head=False)
    reader.feed(head % (len(packed) - 3) + packed[:-3])

    assert whole.body == body
    with pytest.raises(Unreadable, match="answer cut short"):
        reader.read()
