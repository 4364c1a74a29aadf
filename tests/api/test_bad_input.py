"""No input gives a 5xx, and every refusal is a problem body that repeats no value."""

import gzip
import json
import zlib
from typing import Any

import pytest

from gateway.api import limits

GOOD: dict[str, Any] = {"to": {"phone": "+8613800138000"}, "content": {"text": "hello"}}
PLANTED = "PLANTED-13912345678"


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def message(**more: Any) -> bytes:
    return json.dumps({**GOOD, **more}).encode()


BAD_SHAPES: dict[str, tuple[bytes, str]] = {
    "not an object": (b"[]", ""),
    "null": (b"null", ""),
    "no recipient": (b'{"content":{"text":"x"}}', "to"),
    "unknown field": (message(colour=PLANTED), "colour"),
    "unknown nested field": (message(to={"fax": PLANTED}), "to.fax"),
    "unknown field with a name that is data": (message(**{"+86 139": 1}), "?"),
    "phone of wrong type": (message(to={"phone": 8613912345678}), "to.phone"),
    "phone too long": (message(to={"phone": "+" + "1" * 32}), "to.phone"),
    "email too long": (message(to={"email": "a" * 321}), "to.email"),
    "CR LF in an address": (message(to={"email": f"{PLANTED}\r\nBcc: b@example.com"}), "to.email"),
    "LF in a phone": (message(to={"phone": "+8613800138000\n"}), "to.phone"),
    "too many devices": (
        message(to={"push": [{"app": "ios", "token": str(n)} for n in range(21)]}),
        "to.push",
    ),
    "device without token": (message(to={"push": [{"app": "ios"}]}), "to.push[0].token"),
    "CR in the subject": (message(content={"subject": f"{PLANTED}\r"}), "content.subject"),
    "LF in the title": (message(content={"title": f"{PLANTED}\n"}), "content.title"),
    "line separator in a subject": (
        message(content={"email": {"subject": f"{PLANTED}\u2028"}}),
        "content.email.subject",
    ),
    "NUL in the text": (message(content={"text": f"{PLANTED}\0"}), ""),
    "NUL in data": (message(data={"deep": [{"er": f"{PLANTED}\0"}]}), ""),
    "NUL in a key of data": (message(data={f"{PLANTED}\0": 1}), ""),
    "text as a number": (message(content={"sms": {"text": 5}}), "content.sms.text"),
    "unknown text of a channel": (message(content={"sms": {"txet": "x"}}), "content.sms.txet"),
    "misspelt text": (message(content={"sbuject": PLANTED}), "content.sbuject"),
    "table of a provider too large": (
        message(content={"aliyun": {"template": "x" * 16_384}}),
        "content.aliyun",
    ),
    "table of a provider with too many keys": (
        message(content={"aliyun": {str(n): n for n in range(51)}}),
        "content.aliyun",
    ),
    "table under a channel's name too large": (
        message(content={"wechat": {"template": "T", "data": "x" * 65_536}}),
        "content.wechat",
    ),
    "template as a number": (
        message(content={"wechat": {"template": 1}}),
        "content.wechat.template",
    ),
    "text too long": (message(content={"text": "x" * 65_537}), "content.text"),
    "neither template nor content": (b'{"to":{"phone":"+8613800138000"}}', "template"),
    "both template and content": (message(template="code"), "template"),
    "category with a space": (message(category="a b"), "category"),
    "unknown priority": (message(priority="urgent"), "priority"),
    "empty chain": (message(chain=[]), "chain"),
    "chain too long": (message(chain=[{"channel": "sms"}] * 11), "chain"),
    "unknown channel": (
        message(chain=[{"channel": "sms"}, {"channel": "fax"}]),
        "chain[1].channel",
    ),
    "unknown until": (
        message(chain=[{"channel": "sms", "until": "sent"}]),
        "chain[0].until",
    ),
    "within as a word": (message(chain=[{"channel": "sms", "within": "soon"}]), "chain[0].within"),
    "duration of zero": (message(expires_in=0), "expires_in"),
    "negative duration": (message(expires_in="-5m"), "expires_in"),
    "duration of truth": (message(expires_in=True), "expires_in"),
    "endless duration": (message(expires_in=1e300), "expires_in"),
    "send_at without offset": (message(send_at="2030-11-21T20:00:00"), "send_at"),
    "send_at as a number": (message(send_at=1_900_000_000), "send_at"),
    "send_at as a week date": (message(send_at="2030-W12-3T00:00:00Z"), "send_at"),
    "send_at in month 13": (message(send_at="2030-13-01T00:00:00Z"), "send_at"),
    "send_at before the calendar": (message(send_at="0001-01-01T00:00:00+23:59"), "send_at"),
    "dedupe without window": (message(dedupe={"key": "k"}), "dedupe.window"),
    "metadata with too many keys": (
        message(metadata={str(n): n for n in range(51)}),
        "metadata",
    ),
    "metadata too large": (message(metadata={"a": "x" * 8192}), "metadata"),
    "data too large": (message(data={"a": "x" * 65_536}), "data"),
    "metadata as a list": (message(metadata=[PLANTED]), "metadata"),
    "key in the body of a single message": (message(idempotency_key="k"), "idempotency_key"),
    "too deep": (message(data={"a": json.loads(deep(32))}), ""),
    "too deep to be serialised": (message(data={"a": json.loads(deep(300))}), ""),
}


@pytest.mark.parametrize(("body", "field"), BAD_SHAPES.values(), ids=BAD_SHAPES)
async def test_body_that_does_not_fit_is_refused_by_field(
    edge: Any, fakes: Any, body: bytes, field: str
) -> None:
    headers = {"Content-Type": "application/json"}

    async with edge.session.post(f"{edge.url}/v1/messages", data=body, headers=headers) as answer:
        problem = json.loads(text := await answer.text())

    assert answer.status == 422
    assert answer.content_type == "application/problem+json"
    assert field in [fault["field"] for fault in problem["faults"]]
    assert PLANTED not in text
    assert "13912345678" not in text
    assert fakes.intake.accepted == []


UNREADABLE: dict[str, tuple[bytes, dict[str, str], int]] = {
    "malformed": (b'{"to": ', {}, 400),
    "empty": (b"", {}, 400),
    "invalid UTF-8": (b'{"to":"\xff\xfe"}', {}, 400),
    "UTF-16": ('{"to":{}}'.encode("utf-16"), {}, 400),
    "byte order mark": (b"\xef\xbb\xbf{}", {}, 400),
    "lone surrogate": (b'{"to":"\\ud800"}', {}, 400),
    "NaN": (b'{"to":{},"data":{"a":NaN}}', {}, 400),
    "number beyond double": (b'{"to":{},"data":{"a":1e999}}', {}, 400),
    "raw control character": (b'{"to":{"phone":"a\x00b"}}', {}, 400),
    "deeper than any parser": (deep(100_000).encode(), {}, 400),
    "form": (b"to=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "no content type": (b"{}", {"Content-Type": ""}, 415),
    "nonsense content type": (b"{}", {"Content-Type": ";;;"}, 415),
    "lines where one is wanted": (b"{}", {"Content-Type": "application/x-ndjson"}, 415),
    "other charset": (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415),
    "brotli": (b"{}", {"Content-Encoding": "br"}, 415),
    "gzip twice": (b"{}", {"Content-Encoding": "gzip, gzip"}, 415),
    "gzip that is not": (b"{}", {"Content-Encoding": "gzip"}, 400),
    "gzip cut short": (gzip.compress(message())[:-6], {"Content-Encoding": "gzip"}, 400),
    "gzip and more": (gzip.compress(message()) + b"x", {"Content-Encoding": "gzip"}, 400),
    "zlib for gzip": (zlib.compress(message()), {"Content-Encoding": "gzip"}, 400),
    "key of 201": (message(), {"Idempotency-Key": "k" * 201}, 400),
    "empty key": (message(), {"Idempotency-Key": ""}, 400),
    "key not ASCII": (message(), {"Idempotency-Key": "kl\u00fcg"}, 400),
}


@pytest.mark.parametrize(("body", "headers", "status"), UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_request_is_refused(
    edge: Any, fakes: Any, body: bytes, headers: dict[str, str], status: int
) -> None:
    headers = {"Content-Type": "application/json", **headers}

    async with edge.session.post(f"{edge.url}/v1/messages", data=body, headers=headers) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert answer.status == status
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert fakes.intake.accepted == []


async def test_huge_integers_are_refused(edge: Any, fakes: Any) -> None:
    body = b'{"to":{},"content":{"text":"x"},"data":{"n":' + b"9" * 4000 + b"}}"
    worse = b'{"to":{},"content":{"text":"x"},"expires_in":' + b"9" * 300 + b"}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}

    statuses = []
    for one in (body, worse):
        async with edge.session.post(
            f"{edge.url}/v1/messages", data=one, headers=headers
        ) as answer:
            statuses.append(answer.status)

    # 4,000 digits are more than a double can hold, hence no JSON number that we can keep.
    assert statuses == [400, 422]


class TestSmallCap:
    """With a body cap of 1,000 bytes."""

    @pytest.fixture
    def bounds(self) -> limits.Limits:
        return limits.Limits(max_body=1000)

    async def test_declared_length_over_the_cap_is_refused_unread(self, edge: Any) -> None:
        head = (
            b"POST /v1/messages HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer gw_send\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
        )

        answer = await edge.raw(head)  # not one byte of the body follows

        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"100 Continue" not in answer

    async def test_body_is_not_asked_for_when_it_will_be_refused(self, edge: Any) -> None:
        head = (
            b"POST /v1/messages HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer wrong\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n"
        )

        answer = await edge.raw(head)

        assert answer.startswith(b"HTTP/1.1 401 ")

    async def test_expected_body_is_asked_for(self, edge: Any) -> None:
        headers = {"Content-Type": "application/json"}

        async with edge.session.post(
            f"{edge.url}/v1/messages", data=message(), headers=headers, expect100=True
        ) as answer:
            status = answer.status

        assert status == 202

    async def test_chunked_body_over_the_cap_is_refused(self, edge: Any) -> None:
        async def chunks() -> Any:
            for _ in range(11):
                yield b" " * 100

        headers = {"Content-Type": "application/json"}
        async with edge.session.post(
            f"{edge.url}/v1/messages", data=chunks(), headers=headers
        ) as answer:
            problem = await answer.json(content_type="application/problem+json")

        assert answer.status == 413
        assert problem["title"] == "Body too large"

    async def test_gzip_bomb_is_refused(self, edge: Any) -> None:
        bomb = gzip.compress(b" " * 500_000)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

        async with edge.session.post(
            f"{edge.url}/v1/messages", data=bomb, headers=headers
        ) as answer:
            status = answer.status

        assert len(bomb) < 1000
        assert status == 413


async def test_gzip_body_is_taken(edge: Any, fakes: Any) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    async with edge.session.post(
        f"{edge.url}/v1/messages", data=gzip.compress(message()), headers=headers
    ) as answer:
        status = answer.status

    assert status == 202
    assert fakes.intake.accepted[0].content == GOOD["content"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=lost", "state"),
        ("category=a%20b", "category"),
        ("category=a%00", "category"),
        ("since=yesterday", "since"),
        ("until=2030-01-01T00:00:00", "until"),
        ("cursor=1%27--", "cursor"),
        ("cursor=", "cursor"),
        ("category=", "category"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=%D9%A1", "limit"),  # ARABIC-INDIC DIGIT ONE
        ("limit=" + "9" * 5000, "limit"),
        ("limit=1&limit=2", "query"),
        ("offset=1", "query"),
        ("state=%ff", "state"),
    ],
)
async def test_bad_query_is_refused(edge: Any, fakes: Any, query: str, field: str) -> None:
    async with edge.session.get(f"{edge.url}/v1/messages?{query}") as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert answer.status == 400
    assert [fault["field"] for fault in problem["faults"]] == [field]
    assert fakes.desk.filters == []


@pytest.mark.parametrize("id", ["1", "%00", "x" * 36, "..%2f..", "01989f3c-7b1e-7a52-9d0f"])
async def test_what_cannot_be_an_id_is_not_found(edge: Any, id: str) -> None:
    async with edge.session.get(f"{edge.url}/v1/messages/{id}") as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert (answer.status, problem["status"]) == (404, 404)
