"""What must be refused, with nothing stored and never by a 5xx."""

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

TEXT = {"text": "Your order is on its way", "subject": "Your order"}
PHONE = {"phone": "+14155550123"}
GOOD = {"to": PHONE, "content": TEXT, "chain": [{"channel": "sms"}]}
NOW = datetime.now(UTC)

#: By name: what is changed of a good message, and the field that the answer must name.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"colour": "blue"}, "colour"),
    "unknown field deeper": ({"to": {**PHONE, "fax": "1"}}, "to.fax"),
    "no address": ({"to": {}}, "to"),
    "wrong type": ({"to": "+14155550123"}, "to"),
    "letters for a phone": ({"to": {"phone": "+1415CALLME"}}, "to.phone"),
    "phone without country": ({"to": {"phone": "4155550123"}}, "to.phone"),
    "phone too long": ({"to": {"phone": "+1" + "5" * 40}}, "to.phone"),
    "no mail address": ({"to": {"email": "li.example.com"}}, "to.email"),
    "newline in a mail address": ({"to": {"email": "li@example.com\r\nBcc: x"}}, "to.email"),
    "newline at the end of a phone": ({"to": {"phone": "+14155550123\n"}}, "to.phone"),
    "NUL in a mail address": ({"to": {"email": "li\0@example.com"}}, ""),
    "blank token": ({"to": {"push": [{"app": "ios", "token": " "}]}}, "to.push[0].token"),
    "newline in a subject": (
        {"content": {**TEXT, "subject": "a\r\nBcc: b@c.de"}},
        "content.subject",
    ),
    "NUL in a subject": ({"content": {**TEXT, "subject": "a\0b"}}, ""),
    "NUL in a text": ({"content": {"text": "a\0b"}}, ""),
    "empty text": ({"content": {"text": ""}}, "content.text"),
    "no text for the channel": ({"content": {"subject": "only"}}, "to"),
    "unknown category": ({"category": "nonsense"}, "category"),
    "unknown channel": ({"chain": [{"channel": "pigeon"}]}, "chain[0].channel"),
    "unknown template": ({"content": None, "template": "nonsense"}, "template"),
    "neither text nor template": ({"content": None}, "template"),
    "both text and template": ({"template": "login-code"}, "template"),
    "variable missing": (
        {"content": None, "template": "login-code", "data": {"code": "1"}},
        "data.name",
    ),
    "empty chain": ({"chain": []}, "chain"),
    "chain too long": ({"chain": [{"channel": "sms"}] * 11}, "chain"),
    "past": ({"send_at": (NOW - timedelta(hours=1)).isoformat()}, "send_at"),
    "beyond a year": ({"send_at": (NOW + timedelta(days=367)).isoformat()}, "send_at"),
    "no offset": ({"send_at": "2030-01-01T00:00:00"}, "send_at"),
    "no such day": ({"send_at": "2030-02-30T00:00:00Z"}, "send_at"),
    "negative life": ({"expires_in": "-5m"}, "expires_in"),
    "no duration": ({"expires_in": "soon"}, "expires_in"),
    "life too long": ({"expires_in": "40d"}, "expires_in"),
    "until that nobody reports": (
        {"chain": [{"channel": "email", "until": "delivered"}], "to": {"email": "li@example.com"}},
        "chain[0].until",
    ),
    "metadata too large": ({"metadata": {"a": "x" * 9000}}, "metadata"),
    "data too large": (
        {"content": None, "template": "login-code", "data": {"a": "x" * 70_000}},
        "data",
    ),
    "number for a word": ({"category": 7}, "category"),
    "true for a duration": ({"expires_in": True}, "expires_in"),
}


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in {**GOOD, **changes}.items() if one is not None}


async def refused(gateway: Any) -> dict[str, int]:
    """How many were counted, by reason."""
    text = await gateway.metrics()
    found = re.findall(r'gateway_messages_refused_total{reason="(\w+)"} (\S+)', text)
    return {reason: count for reason, one in found if (count := int(float(one)))}


async def test_wrong_messages_are_refused_by_field_and_not_stored(stand: Any) -> None:
    gateway = await stand.start()
    before = stand.database.counts()

    got = {}
    for name, (changes, _) in FAULTS.items():
        status, problem = await gateway.call("POST", "/v1/messages", changed(changes))
        fields = {one["field"] for one in problem.get("faults", [])}
        got[name] = (status, fields)

    wrong = {
        name: got[name]
        for name, (_, field) in FAULTS.items()
        if got[name][0] != 422 or not any(one.startswith(field) for one in got[name][1])
    }
    assert wrong == {}
    assert stand.database.counts() == before
    assert await refused(gateway) == {"invalid": len(FAULTS)}


async def test_values_of_wrong_messages_are_not_repeated(stand: Any) -> None:
    gateway = await stand.start()

    for changes, _ in FAULTS.values():
        _, problem = await gateway.call("POST", "/v1/messages", changed(changes))
        text = json.dumps(problem)
        assert not any(one in text for one in ("4155550123", "li@", "CALLME", "example.com", "xxx"))


async def raw(gateway: Any, body: bytes, **headers: str) -> tuple[int, str]:
    """(status, content type) of a body posted as it stands."""
    named = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    async with gateway.session.post(
        gateway.url + "/v1/messages",
        data=body,
        headers={"Authorization": "Bearer gw_e2e_key_of_shop", **named},
    ) as answer:
        await answer.read()
        return answer.status, answer.content_type


async def test_unreadable_bodies_are_refused_and_not_stored(stand: Any) -> None:
    gateway = await stand.start({"api": {"max_body": "64KiB"}})
    good = json.dumps(GOOD).encode()
    deep = good[:-1] + b', "metadata": {"a": ' + b"[" * 2000 + b"]" * 2000 + b"}}"
    deepish = good[:-1] + b', "metadata": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}"
    bomb = gzip.compress(b" " * 200_000_000)
    before = stand.database.counts()

    got = {
        "empty": await raw(gateway, b""),
        "cut off": await raw(gateway, good[:-5]),
        "no JSON": await raw(gateway, b"to=+14155550123"),
        "no UTF-8": await raw(gateway, b'{"to": "\xff\xfe"}'),
        "lone surrogate": await raw(gateway, b'{"to": {"recipient": "\\ud800"}}'),
        "NaN": await raw(gateway, b'{"to": NaN}'),
        "list": await raw(gateway, b"[" + good + b"]"),
        "null": await raw(gateway, b"null"),
        "huge number": await raw(gateway, good[:-1] + b', "expires_in": 1e400}'),
        "deep": await raw(gateway, deep),
        "deeper than allowed": await raw(gateway, deepish),
        "too large": await raw(gateway, good + b" " * 100_000),
        "gzip bomb": await raw(gateway, bomb, Content_Encoding="gzip"),
        "no gzip": await raw(gateway, good, Content_Encoding="gzip"),
        "cut gzip": await raw(gateway, gzip.compress(good)[:-9], Content_Encoding="gzip"),
        "unknown coding": await raw(gateway, good, Content_Encoding="br"),
        "unknown type": await raw(gateway, good, Content_Type="text/plain"),
        "other charset": await raw(gateway, good, Content_Type="application/json; charset=utf-16"),
    }

    assert {name: one[1] for name, one in got.items()} == dict.fromkeys(
        got, "application/problem+json"
    )
    assert {name: one[0] for name, one in got.items() if one[0] not in (400, 422)} == {
        "too large": 413,
        "gzip bomb": 413,
        "unknown coding": 415,
        "unknown type": 415,
        "other charset": 415,
    }
    assert stand.database.counts() == before
    assert await refused(gateway) == {"invalid": len(got)}
    assert (await raw(gateway, gzip.compress(good), Content_Encoding="gzip"))[0] == 202


async def test_bad_items_of_a_batch_do_not_sink_the_good_ones(stand: Any) -> None:
    gateway = await stand.start()
    bad = [changed(changes) for changes, _ in FAULTS.values()]
    batch = [GOOD, *bad, GOOD]

    status, answer = await gateway.call("POST", "/v1/messages/batch", batch)
    none, refusal = await gateway.call("POST", "/v1/messages/batch", bad)

    results = answer["results"]
    assert status == 202
    assert len(results) == len(batch)
    assert ["id" in one for one in results] == [True, *[False] * len(bad), True]
    assert {one["problem"]["status"] for one in results[1:-1]} == {422}
    assert none == 422
    assert ["id" in one for one in refusal["results"]] == [False] * len(bad)
    assert await refused(gateway) == {"invalid": 2 * len(bad)}
    assert stand.database.one("SELECT count(*) FROM message WHERE internal = 0") == 2
    for one in (results[0], results[-1]):
        await gateway.until(one["id"], "delivered")


async def test_bad_lines_of_ndjson_do_not_sink_the_good_ones(stand: Any) -> None:
    gateway = await stand.start()
    good = json.dumps(GOOD).encode()
    lines = b"\n".join([good, b"{broken", b"", good])

    async with gateway.session.post(
        gateway.url + "/v1/messages/batch",
        data=lines,
        headers={
            "Authorization": "Bearer gw_e2e_key_of_shop",
            "Content-Type": "application/x-ndjson",
        },
    ) as answer:
        status, body = answer.status, await answer.json()

    assert status == 202
    assert ["id" in one for one in body["results"]] == [True, False, True]


async def test_batches_of_the_wrong_size_are_refused_as_a_whole(stand: Any) -> None:
    gateway = await stand.start()

    statuses = [
        (await gateway.call("POST", "/v1/messages/batch", batch))[0]
        for batch in ([], [GOOD] * 1001, GOOD, None)
    ]

    assert statuses[:3] == [422, 422, 422]
    assert statuses[3] in (400, 415, 422)
    assert await refused(gateway) == {"invalid": 4}
    assert stand.database.counts()["message"] == 0


async def test_callers_without_a_good_key_learn_and_change_nothing(stand: Any) -> None:
    gateway = await stand.start(
        {"tenants": {"reader": {"keys": ["gw_e2e_key_of_reader"], "scopes": ["read"]}}}
    )

    unknown, _ = await gateway.call("POST", "/v1/messages", GOOD, key="gw_nobody")
    reader, _ = await gateway.call("POST", "/v1/messages", GOOD, key="gw_e2e_key_of_reader")
    listed, _ = await gateway.call("GET", "/v1/messages", key="gw_e2e_key_of_reader")

    assert (unknown, reader, listed) == (401, 403, 200)
    assert stand.database.counts()["message"] == 0


async def test_tenant_over_its_rate_is_told_when_to_come_back(stand: Any) -> None:
    gateway = await stand.start({"tenants": {"shop": {"rate": 2}}})
    headers = {"Authorization": "Bearer gw_e2e_key_of_shop"}

    answers = []
    for _ in range(10):
        async with gateway.session.post(
            gateway.url + "/v1/messages", json=GOOD, headers=headers
        ) as answer:
            answers.append((answer.status, answer.headers.get("Retry-After")))

    throttled = [wait for status, wait in answers if status == 429]
    accepted = [status for status, _ in answers if status == 202]
    assert len(throttled) + len(accepted) == 10
    assert throttled
    assert all(wait and int(wait) >= 1 for wait in throttled)
    assert await refused(gateway) == {"throttled": len(throttled)}
    assert stand.database.one("SELECT count(*) FROM message WHERE internal = 0") == len(accepted)
