"""Recipients over HTTP: one by one, in pages, and in streams of rows of which some are bad."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest

from gateway.api import limits, openapi, recipients, table
from gateway.model.recipient import PushDevice, Recipient
from gateway.model.values import replace

LI: dict[str, Any] = {
    "phone": "+86 138 0013 8000",
    "push": [{"app": "ios", "token": "t1"}],
    "verified": ["phone"],
    "locale": "zh-cn",
    "zone": "Asia/Shanghai",
    "quiet_hours": [{"from": "22:00", "to": "08:00"}],
    "preferences": {"marketing": ["email", "sms"]},
    "tier": "gold",
    "attributes": {"city": "杭州", "age": 42},
}
NDJSON, CSV = "application/x-ndjson", "text/csv"


async def call(edge: Any, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with edge.session.request(method, f"{edge.url}{path}", **more) as answer:
        return answer.status, await answer.json(content_type=None)


async def put(edge: Any, body: Any, id_: str = "user-42") -> tuple[int, Any]:
    return await call(edge, "PUT", f"/v1/recipients/{id_}", json=body)


async def bulk(edge: Any, data: Any, type_: str = NDJSON, **headers: str) -> tuple[int, Any]:
    headers = {"Content-Type": type_, **headers}
    return await call(edge, "POST", "/v1/recipients/bulk", data=data, headers=headers)


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in rows)


def many(count: int) -> bytes:
    return lines(*({"id": f"u{number}", "phone": "+8613800138000"} for number in range(count)))


# One


async def test_a_recipient_is_kept_and_read(edge: Any, fakes: Any) -> None:
    made = await put(edge, LI)
    again = await put(edge, LI)
    read = await call(edge, "GET", "/v1/recipients/user-42")

    assert (made[0], again[0], read[0]) == (201, 200, 200)
    assert made[1] == read[1]
    assert read[1] == {
        **LI,
        "id": "user-42",
        "phone": "+8613800138000",
        "locale": "zh-CN",
        "updated_at": "2030-03-17T17:46:40.000Z",
    }
    assert fakes.recipients.kept["user-42"].quiet == (("22:00", "08:00"),)


async def test_what_was_read_can_be_put_again(edge: Any, fakes: Any) -> None:
    dead = PushDevice(app="ios", token="t9", reason="gone", since_ms=1_900_000_000_000)
    living = PushDevice(app="ios", token="t8", registered_ms=1_890_000_000_250)
    kept = Recipient(
        id="user-42", email="li@example.com", push=(dead, living), invalid=("email",), wecom="LiLei"
    )
    fakes.recipients.kept["user-42"] = kept
    _, read = await call(edge, "GET", "/v1/recipients/user-42")

    status, _ = await put(edge, read)

    assert read["push"] == [
        {"app": "ios", "token": "t9", "reason": "gone", "since": "2030-03-17T17:46:40.000Z"},
        {"app": "ios", "token": "t8", "registered_at": "2029-11-22T00:00:00.250Z"},
    ]
    assert status == 200
    assert fakes.recipients.kept["user-42"] == kept


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "../etc/passwd"}, "zone"),
        ({"locale": "zh_CN!"}, "locale"),
        ({"quiet_hours": [{"from": "25:00", "to": "08:00"}]}, "quiet_hours[0].from"),
        ({"quiet_hours": [{"from": "22:00", "to": "24:00"}]}, "quiet_hours[0].to"),
        ({"quiet_hours": [{"from": "08:00", "to": "08:00"}]}, "quiet_hours[0]"),
        (
            {"quiet_hours": [{"from": "08:00", "to": "20:00"}, {"from": "19:00", "to": "08:00"}]},
            "quiet_hours",
        ),
        ({"preferences": {"nonsense": ["sms"]}}, "preferences"),
        ({"preferences": {"marketing": ["pigeon"]}}, "preferences.marketing[0]"),
        ({"push": [{"app": "ios", "token": f"t{n}"} for n in range(21)]}, "push"),
        ({"push": [{"app": "ios", "token": "ü"}]}, "push[0].token"),
        ({"attributes": {"x": "x" * 9_000}}, "attributes"),
        ({"phone": "12345"}, "phone"),
        ({"email": "nobody"}, "email"),
        ({"verified": ["email"]}, "verified[0]"),
        ({"verified": ["phone"], "invalid": ["phone"]}, "invalid"),
        ({"id": "somebody-else"}, "id"),
        ({"colour": "red"}, "colour"),
        ({"tier": None}, "tier"),
    ],
)
async def test_what_is_wrong_is_named(edge: Any, body: Any, field: str) -> None:
    status, problem = await put(edge, {"phone": "+8613800138000", **body})

    assert status == 422
    assert [one["field"] for one in problem["faults"]] == [field]


@pytest.mark.parametrize(
    "body", [{}, {"zone": "Asia/Shanghai"}, {"email": "li@example.com", "invalid": ["email"]}]
)
async def test_a_recipient_has_an_address_that_can_be_used(edge: Any, body: Any) -> None:
    status, problem = await put(edge, body)

    assert status == 422
    assert "no usable address" in problem["faults"][0]["detail"]


@pytest.mark.parametrize("id_", ["a%2Fb", "%E6%9D%8E%20%E9%9B%B7", "bulk", "x" * 200])
async def test_ids_are_the_tenant_s_own(edge: Any, id_: str) -> None:
    # as it is written, not as this client would tidy it up
    from yarl import URL

    url = URL(f"{edge.url}/v1/recipients/{id_}", encoded=True)
    async with edge.session.put(url, json=LI) as made, edge.session.get(url) as read:
        statuses, body = (made.status, read.status), await read.json()

    assert statuses == (201, 200)
    assert body["id"] == {"a%2Fb": "a/b", "%E6%9D%8E%20%E9%9B%B7": "李 雷"}.get(id_, id_)


@pytest.mark.parametrize("id_", ["%20x", "x%00", "x" * 201])
async def test_an_id_that_cannot_be_one(edge: Any, id_: str) -> None:
    from yarl import URL

    url = URL(f"{edge.url}/v1/recipients/{id_}", encoded=True)
    async with edge.session.put(url, json=LI) as made, edge.session.get(url) as read:
        statuses, problem = (made.status, read.status), await made.json()

    assert statuses == (422, 404)
    assert problem["faults"][0]["field"] == "id"


async def test_erasure_says_what_it_did(edge: Any) -> None:
    await put(edge, LI)

    gone = [await call(edge, "DELETE", "/v1/recipients/user-42") for _ in range(2)]

    assert gone[0] == (200, {"messages": 3, "cancelled": 1})
    assert gone[1][0] == 404


async def test_pages_lead_to_the_end(edge: Any) -> None:
    await bulk(edge, lines(*({"id": f"u {n}", "phone": "+8613800138000"} for n in range(5))))
    ids: list[str] = []
    params: dict[str, Any] = {"limit": 2}

    while True:
        status, page = await call(edge, "GET", "/v1/recipients", params=params)
        assert status == 200
        ids += [one["id"] for one in page["recipients"]]
        if "next_cursor" not in page:
            break
        params["cursor"] = page["next_cursor"]

    assert ids == [f"u {n}" for n in range(5)]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "cursor=", "colour=red", "limit=1&limit=2"]
)
async def test_queries_that_cannot_be_used(edge: Any, query: str) -> None:
    assert (await call(edge, "GET", f"/v1/recipients?{query}"))[0] == 400


# Many


async def test_bad_rows_do_not_sink_the_others(edge: Any, fakes: Any) -> None:
    status, result = await bulk(
        edge,
        lines({"id": "a", "phone": "+8613800138000"})
        + b"\n{not json}\n[]\n"
        + b'{"id": "b", "phone": "\xff"}\n'
        + lines({"phone": "+8613800138000"}, {"id": "c", "email": "no", "zone": "x"})
        + json.dumps({"id": "d", "email": "d@example.com"}).encode(),
    )

    assert status == 200
    assert {key: result[key] for key in ("rows", "new", "refused")} == {
        "rows": 7,
        "new": 2,
        "refused": 5,
    }
    assert [(one["row"], one["field"]) for one in result["faults"]] == [
        (3, ""),
        (4, ""),
        (5, ""),
        (6, "id"),
        (7, "email"),
    ]
    assert sorted(fakes.recipients.kept) == ["a", "d"]


async def test_counts_tell_new_from_changed_and_unchanged(edge: Any, fakes: Any) -> None:
    rows = [{"id": name, "phone": "+8613800138000"} for name in "abc"]
    await bulk(edge, lines(*rows))

    _, result = await bulk(
        edge, lines(rows[0], {**rows[1], "tier": "gold"}, {**rows[2], "id": "d"})
    )

    assert [result[key] for key in ("new", "changed", "unchanged")] == [1, 1, 1]


async def test_of_two_rows_for_one_person_the_later_counts(edge: Any, fakes: Any) -> None:
    row = {"id": "a", "phone": "+8613800138000"}

    _, result = await bulk(edge, lines(row, row, {**row, "tier": "gold"}))

    assert fakes.recipients.kept["a"].tier == "gold"
    assert [result[key] for key in ("rows", "new", "changed", "unchanged")] == [3, 1, 1, 1]


async def test_only_the_first_refused_rows_are_named(edge: Any) -> None:
    _, result = await bulk(edge, b"{}\n" * 250)

    assert result["refused"] == 250
    assert [one["row"] for one in result["faults"]] == list(range(1, 101))


async def test_a_long_line_is_refused_and_the_rest_goes_on(edge: Any, fakes: Any) -> None:
    good = {"id": "a", "phone": "+8613800138000"}
    for size in (limits.MAX_LINE, 5 * limits.MAX_LINE):
        long = lines({**good, "id": "long", "tier": "x" * size})

        status, result = await bulk(edge, long + lines(good) + long.strip())

        assert status == 200
        assert [one["row"] for one in result["faults"]] == [1, 3]
    assert sorted(fakes.recipients.kept) == ["a"]


async def test_bodies_are_not_bound_by_the_size_of_other_bodies(edge: Any, fakes: Any) -> None:
    count = 40_000
    row = '{"id": "user-%06d", "phone": "+8613800138000", "attributes": {"x": "%s"}}\n'
    data = "".join(row % (number, "y" * 60) for number in range(count)).encode()
    assert len(data) > limits.Limits().max_body

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100_003):
            yield data[start : start + 100_003]

    status, result = await bulk(edge, chunks())

    assert (status, result["new"]) == (200, count)
    assert max(fakes.recipients.batches) == 1_000


async def test_a_stream_may_be_compressed(edge: Any) -> None:
    data = lines(*({"id": f"u{n}", "phone": "+8613800138000"} for n in range(9_000)))
    packed = gzip.compress(data)

    good = await bulk(edge, packed, **{"Content-Encoding": "gzip"})
    bad = [
        await bulk(edge, broken, **{"Content-Encoding": "gzip"})
        for broken in (packed[:-9], packed + b"x", b"nonsense")
    ]

    assert (good[0], good[1]["new"]) == (200, 9_000)
    assert [status for status, _ in bad] == [400, 400, 400]


async def test_more_rows_than_allowed_are_not_read(
    edge: Any, fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipients, "MAX_ROWS", 3)
    rows = [{"id": name, "phone": "+8613800138000"} for name in "abcd"]

    at_the_cap = await bulk(edge, lines(*rows[:3]))
    beyond = await bulk(edge, lines(*rows))

    assert (at_the_cap[0], beyond[0]) == (200, 413)
    assert sorted(fakes.recipients.kept) == ["a", "b", "c"]


async def test_empty_lines_have_an_end(edge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipients, "MAX_LINES", 1_000)
    packed = gzip.compress(b"\n" * 1_001)

    status, _ = await bulk(edge, packed, **{"Content-Encoding": "gzip"})

    assert status == 413


async def test_a_store_that_goes_away_is_told_with_what_is_stored(edge: Any, fakes: Any) -> None:
    fakes.recipients.failing_after = 2

    status, problem = await bulk(
        edge, lines(*({"id": f"u{n}", "phone": "+8613800138000"} for n in range(4_000)))
    )

    assert status == 503
    assert problem["detail"].startswith("2000 rows are stored")


@pytest.mark.parametrize(
    ("type_", "data", "status"),
    [
        ("application/json", b"[]", 415),
        ("text/csv; charset=gbk", b"id,phone\n", 415),
        (CSV, "id,phone\na,+8613800138000\n".encode("utf-16"), 415),
        (CSV, "id,phone\na,+8613800138000\n".encode("utf-16-le"), 415),
        (CSV, "id,phone\na,+8613800138000\n".encode("utf-16-be"), 415),
        (NDJSON, '{"id": "a", "phone": "+8613800138000"}\n'.encode("utf-16-le"), 415),
        (CSV, b"", 422),
        (CSV, b"phone,email\n", 422),
        (CSV, b"id,phone,phone\n", 422),
        (CSV, b"id,colour\n", 422),
        (CSV, b'id,"phone\n', 422),
    ],
)
async def test_lists_that_cannot_be_read(edge: Any, type_: str, data: bytes, status: int) -> None:
    assert (await bulk(edge, data, type_))[0] == status


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
async def test_csv_says_what_ndjson_does(edge: Any, fakes: Any, bom: bytes, end: bytes) -> None:
    header = (
        "id,phone,email,push,verified,locale,zone,quiet_hours,tier,attributes.city,"
        "preferences.marketing"
    )
    row = (
        'li,+8613800138000,"li@example.com",ios:t1 web:t:2,phone email,zh-CN,Asia/Shanghai,'
        '22:00-08:00,"gold, ""old""",杭州,email sms'
    )

    status, result = await bulk(edge, bom + end.join([header.encode(), row.encode(), b""]), CSV)

    assert (status, result["faults"], result["new"]) == (200, [], 1)
    assert fakes.recipients.kept["li"] == Recipient(
        id="li",
        phone="+8613800138000",
        email="li@example.com",
        push=(PushDevice(app="ios", token="t1"), PushDevice(app="web", token="t:2")),
        verified=("phone", "email"),
        locale="zh-CN",
        zone="Asia/Shanghai",
        quiet=(("22:00", "08:00"),),
        tier='gold, "old"',
        attributes={"city": "杭州"},
        preferences={"marketing": ("email", "sms")},
    )


async def test_bad_rows_of_csv_are_named_by_line(edge: Any, fakes: Any) -> None:
    good = replace(Recipient(id="a"), phone="+8613800138000")
    data = (
        b"id,phone,push\n"
        b"a,+8613800138000,\n"  # 2
        b"b,+8613800138000\n"  # 3: too few
        b'c,"+8613800138000,\n'  # 4: stray quote
        b'd,+86"13800138000,\n'  # 5: the same
        + "李,+8613800138000,\n".encode("gbk")  # 6: not UTF-8
        + b"e,,ios\n"  # 7: no token
        b"\n"
        b"f,,\n"  # 9: nothing to reach it by
        b"g,+8613800138000,\n"
        b'"h",+861380\r0138000,\n'  # 11: a line break within
    )

    status, result = await bulk(edge, data, CSV)

    assert status == 200
    assert [(one["row"], one["field"]) for one in result["faults"]] == [
        (3, ""),
        (4, ""),
        (5, ""),
        (6, ""),
        (7, "push[0]"),
        (9, ""),
        (11, ""),
    ]
    assert fakes.recipients.kept["a"] == good
    assert sorted(fakes.recipients.kept) == ["a", "g"]


async def test_a_list_needs_its_scope(edge: Any) -> None:
    headers = {"Authorization": "Bearer gw_send_read_admin", "Content-Type": NDJSON}

    async with edge.session.post(
        f"{edge.url}/v1/recipients/bulk", data=b"{}", headers=headers
    ) as answer:
        assert answer.status == 403


async def test_a_caller_who_hangs_up_leaves_what_was_stored(edge: Any, fakes: Any) -> None:
    head = (
        b"POST /v1/recipients/bulk HTTP/1.1\r\nHost: gw\r\nContent-Type: application/x-ndjson\r\n"
        b"Authorization: Bearer gw_recipients\r\nContent-Length: 9999999\r\n\r\n"
    )
    rows = lines(*({"id": f"u{n}", "phone": "+8613800138000"} for n in range(1_100)))
    _, writer = await asyncio.open_connection("127.0.0.1", edge.public.port)

    writer.write(head + rows)
    await writer.drain()
    await asyncio.wait_for(fakes.recipients.was_put.wait(), 30)
    writer.close()

    assert len(fakes.recipients.kept) == 1_000
    assert (await put(edge, LI))[0] == 201


class TestShortDeadlines:
    """With deadlines of a fifth of a second."""

    @pytest.fixture
    def bounds(self) -> limits.Limits:
        return limits.Limits(body_seconds=0.2)

    async def test_rows_that_came_before_it_stood_still_are_kept(
        self, edge: Any, fakes: Any
    ) -> None:
        head = (
            b"POST /v1/recipients/bulk HTTP/1.1\r\nHost: gw\r\n"
            b"Authorization: Bearer gw_recipients\r\nContent-Type: application/x-ndjson\r\n"
            b"Content-Length: 10000\r\n\r\n"
        )

        async with asyncio.timeout(10):
            said = await edge.raw(head + many(2) + b'{"id": "cut')

        assert said.startswith(b"HTTP/1.1 408 ")
        assert json.loads(said.partition(b"\r\n\r\n")[2])["detail"] == (
            "The body was not complete in time. 2 rows are stored. Send all of them again."
        )
        assert list(fakes.recipients.kept) == ["u0", "u1"]


# Ids that no address can name


@pytest.mark.parametrize("id_", [".", ".."])
async def test_ids_that_no_address_can_name_are_refused(edge: Any, fakes: Any, id_: str) -> None:
    row = {"id": id_, "phone": "+8613800138000"}
    reason = "is neither . nor .., by which no address can name it"

    listed = await bulk(edge, lines(row))
    as_csv = await bulk(edge, f"id,phone\n{id_},+8613800138000\n", CSV)
    to = {"recipient": id_, "phone": "+8613800138000"}
    sent = await call(
        edge, "POST", "/v1/messages", json={"to": to, "category": "otp", "content": {"text": "x"}}
    )

    assert listed[1]["faults"] == [{"row": 1, "field": "id", "reason": reason}]
    assert as_csv[1]["faults"] == [{"row": 2, "field": "id", "reason": reason}]
    assert sent[0] == 422
    assert sent[1]["faults"] == [{"field": "to.recipient", "detail": reason}]
    assert not fakes.recipients.kept


def test_description_says_which_ids_are_taken() -> None:
    document = openapi.document(table.PUBLIC)
    (parameter,) = document["paths"]["/v1/recipients/{id}"]["get"]["parameters"]
    schemas = document["components"]["schemas"]
    path = parameter["schema"]["pattern"]
    bodies = {
        schemas["Addresses"]["properties"]["recipient"]["pattern"],
        schemas["NewRecipient"]["properties"]["id"]["pattern"],
    }

    ids = ["".join(one) for size in range(1, 5) for one in product(".a-/ \x85", repeat=size)]
    for id_ in ids:
        is_line = id_ not in (".", "..") and "\x85" not in id_
        assert [bool(re.search(one, id_)) for one in bodies] == [is_line]
        assert bool(re.search(path, id_)) == (is_line and set(id_) <= set(".a-"))


# The tenant's rate


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/recipients/user-42"),
        ("GET", "/v1/recipients/user-42"),
        ("DELETE", "/v1/recipients/user-42"),
        ("GET", "/v1/recipients"),
        ("POST", "/v1/recipients/bulk"),
    ],
)
async def test_every_request_counts_against_the_tenants_rate(
    edge: Any, fakes: Any, method: str, path: str
) -> None:
    await call(edge, method, path)
    counted, fakes.keys.retry_after = fakes.keys.admitted[:], 1.0
    status, _ = await call(edge, method, path)

    assert counted == [1]
    assert status == 429


async def test_a_long_list_counts_by_batches_and_waits_for_the_rate(
    edge: Any, fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipients, "_BATCH", 2)
    fakes.keys.waits = []

    async def admit(caller: Any, count: int) -> None:
        await type(fakes.keys).admit(fakes.keys, caller, count)
        fakes.keys.waits = [0.001, 0.001]

    monkeypatch.setattr(fakes.keys, "admit", admit)
    status, result = await bulk(edge, many(5))

    assert (status, result["new"]) == (200, 5)
    assert fakes.keys.admitted == [1, 1, 1]


async def test_a_list_that_must_wait_for_long_says_how_far_it_came(
    edge: Any, fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipients, "_BATCH", 2)

    async def admit(caller: Any, count: int) -> None:
        await type(fakes.keys).admit(fakes.keys, caller, count)
        fakes.keys.retry_after = 31.0

    monkeypatch.setattr(fakes.keys, "admit", admit)
    status, problem = await bulk(edge, many(5))

    assert (status, problem["detail"]) == (429, "2 rows are stored; the tenant's rate is used up.")
    assert len(fakes.recipients.kept) == 2


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"id,phone\ra,+8613800138000\r", "has a line break within; lines end with LF or CR LF"),
        (b"id," + b"x" * limits.MAX_LINE, f"is longer than {limits.MAX_LINE} bytes"),
        ("id,attributes.城市\n".encode("gbk"), "is not UTF-8"),
        (b"id;phone\n", "has no column `id`; columns are separated by commas"),
    ],
)
async def test_a_header_that_cannot_be_read_is_told_why(
    edge: Any, data: bytes, detail: str
) -> None:
    status, problem = await bulk(edge, data, CSV)

    assert (status, problem["faults"]) == (422, [{"field": "header", "detail": detail}])


async def test_rows_of_another_encoding_are_reported_and_the_rest_goes_on(
    edge: Any, fakes: Any
) -> None:
    text = "id,phone,attributes.city\na,+8613800138000,杭州\nb,+8613800138001,ok\n"

    status, result = await bulk(edge, text.encode("gbk"), CSV)

    assert (status, result["new"]) == (200, 1)
    assert result["faults"] == [{"row": 2, "field": "", "reason": "is not UTF-8"}]
    assert list(fakes.recipients.kept) == ["b"]
