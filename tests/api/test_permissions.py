"""Consent and suppression over HTTP: what is read, what is answered, who may."""

import json
from typing import Any

import pytest

from gateway.model import errors
from gateway.model.permission import Outcome, Reason, SuppressionFilter
from gateway.model.recording import Lift, Whom
from gateway.model.submission import Device, To

CONSENT = {
    "to": {"email": "li@example.com"},
    "category": "marketing",
    "source": "signup-form",
    "at": "2026-11-01T09:30:00+08:00",
}
WITHDRAWAL = {"to": {"phone": "+8613800138000"}, "category": "marketing"}
BAN = {"to": {"phone": "+8613800138000"}}
BATCHES = [
    ("PUT", "/v1/consents", CONSENT),
    ("POST", "/v1/consents/withdraw", WITHDRAWAL),
    ("PUT", "/v1/suppressions", BAN),
    ("POST", "/v1/suppressions/lift", BAN),
]


async def call(
    edge: Any, method: str, path: str, body: Any = None, **options: Any
) -> tuple[int, Any]:
    async with edge.session.request(method, edge.url + path, json=body, **options) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_consents_are_taken_with_all_that_is_said_of_them(edge: Any, fakes: Any) -> None:
    full = {**CONSENT, "channel": "email", "proof": "form-8812", "expires_at": CONSENT["at"]}

    status, answer = await call(edge, "PUT", "/v1/consents", [CONSENT, full])

    ((_, (first, second)),) = fakes.permissions.taken
    assert (status, answer) == (200, {"results": [{"state": "recorded"}] * 2})
    assert first.whom == Whom(to=To(email="li@example.com"))
    assert (first.proof, first.expires_at) == ("", None)
    assert first.at.isoformat() == "2026-11-01T01:30:00+00:00"
    assert second.whom.channel == "email"
    assert (second.proof, second.expires_at) == ("form-8812", second.at)


@pytest.mark.parametrize(("method", "path", "item"), BATCHES)
async def test_one_bad_item_does_not_sink_the_rest(
    edge: Any, fakes: Any, method: str, path: str, item: dict[str, Any]
) -> None:
    lines = [json.dumps(item), "nonsense", json.dumps({**item, "to": {"fax": "1"}})]
    headers = {"Content-Type": "application/x-ndjson"}

    async with edge.session.request(
        method, edge.url + path, data="\n".join(lines).encode(), headers=headers
    ) as answer:
        status, body = answer.status, await answer.json()

    good, unread, unfit = body["results"]
    assert status == 200
    assert good in ({"state": "recorded"}, {"lifted": 2})
    assert unread["problem"]["status"] == 400
    assert [one["field"] for one in unfit["problem"]["faults"]] == ["to.fax"]
    assert len(fakes.permissions.taken[0][1]) == 1
    assert fakes.keys.admitted == [1]


@pytest.mark.parametrize(("method", "path", "item"), BATCHES)
async def test_batch_of_nothing_but_bad_items_is_refused(
    edge: Any, method: str, path: str, item: dict[str, Any]
) -> None:
    status, answer = await call(edge, method, path, [{**item, "surprise": 1}, 5])

    assert status == 422
    assert len(answer["results"]) == 2
    assert answer["request_id"]


@pytest.mark.parametrize(("method", "path", "item"), BATCHES)
@pytest.mark.parametrize("count", [0, 1001])
async def test_batch_has_one_to_a_thousand_items(
    edge: Any, fakes: Any, method: str, path: str, item: Any, count: int
) -> None:
    status, answer = await call(edge, method, path, [item] * count)

    assert status == 422
    assert "1 to 1000" in answer["detail"]
    assert fakes.permissions.taken == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"at": "2026-11-01"}, "at"),
        ({"at": None}, "at"),
        ({"proof": "x" * 257}, "proof"),
        ({"source": ""}, "source"),
        ({"source": "a\nb"}, "source"),
        ({"category": "no such name"}, "category"),
        ({"channel": "pigeon"}, "channel"),
        ({"expires_at": 5}, "expires_at"),
        ({"to": 5}, "to"),
    ],
)
async def test_bad_field_is_named_and_its_value_is_not(
    edge: Any, change: dict[str, Any], field: str
) -> None:
    status, answer = await call(edge, "PUT", "/v1/consents", [{**CONSENT, **change}])

    (result,) = answer["results"]
    assert status == 422
    assert [one["field"] for one in result["problem"]["faults"]] == [field]
    assert "xxx" not in json.dumps(answer)


async def test_withdrawal_and_suppression_have_usual_values(edge: Any, fakes: Any) -> None:
    await call(edge, "POST", "/v1/consents/withdraw", [WITHDRAWAL])
    push = {"to": {"push": [{"app": "ios", "token": "t"}]}, "reason": "opt_out", "everybody": True}
    await call(edge, "PUT", "/v1/suppressions", [BAN, push])

    (_, (withdrawal,)), (_, (ban, other)) = fakes.permissions.taken
    assert (withdrawal.source, withdrawal.at) == ("api", None)
    assert (ban.reason, ban.source, ban.category, ban.everybody) == (
        Reason.MANUAL,
        "api",
        "",
        False,
    )
    assert other.whom.to.push == (Device(app="ios", token="t"),)
    assert (other.reason, other.everybody) == (Reason.OPT_OUT, True)


async def test_outcome_that_changed_nothing_is_told(edge: Any, fakes: Any) -> None:
    fakes.permissions.outcome = Outcome.REFUSED

    assert await call(edge, "PUT", "/v1/consents", [CONSENT]) == (
        200,
        {"results": [{"state": "refused"}]},
    )


@pytest.mark.parametrize(
    ("item", "lift"),
    [
        ({"id": "7"}, Lift(id=7)),
        ({"id": "7", "everybody": True}, Lift(id=7, everybody=True)),
        (
            {"to": {"recipient": "user-42"}, "channel": "sms", "reason": "manual"},
            Lift(whom=Whom(to=To(recipient="user-42"), channel="sms"), reason="manual"),
        ),
    ],
)
async def test_lift_is_by_record_or_by_address(
    edge: Any, fakes: Any, item: dict[str, Any], lift: Lift
) -> None:
    status, answer = await call(edge, "POST", "/v1/suppressions/lift", [item])

    assert (status, answer) == (200, {"results": [{"lifted": 2}]})
    assert fakes.permissions.taken == [("lifts", [lift])]


@pytest.mark.parametrize(
    "item", [{}, {"id": "7", "to": {"email": "a@b"}}, {"id": "7", "reason": "manual"}, {"id": "x"}]
)
async def test_lift_of_nothing_or_of_too_much_is_refused(edge: Any, item: dict[str, Any]) -> None:
    status, answer = await call(edge, "POST", "/v1/suppressions/lift", [item])

    (result,) = answer["results"]
    assert (status, result["problem"]["faults"][0]["field"]) == (422, "id")


async def test_lookup_shows_no_address(edge: Any, fakes: Any) -> None:
    status, answer = await call(
        edge, "POST", "/v1/consents/lookup", {"to": {"email": "li@example.com"}}
    )

    assert status == 200
    assert answer == {
        "consents": [
            {
                "channel": "",
                "recipient": True,
                "category": "news",
                "source": "form",
                "proof": "form-8812",
                "at": "2027-01-15T08:00:00.000Z",
            }
        ],
        "suppressions": [
            {
                "id": "7",
                "channel": "email",
                "recipient": False,
                "hash": "0123456789ab",
                "reason": "hard_bounce",
                "detail": "550",
                "category": "",
                "account": "",
                "source": "acme",
                "at": "2027-01-15T08:00:00.000Z",
                "everybody": False,
            }
        ],
    }


async def test_list_is_the_tenants_own(edge: Any, fakes: Any) -> None:
    status, answer = await call(
        edge, "GET", "/v1/suppressions?limit=2&reason=manual&channel=sms&category=news&cursor=9"
    )

    assert status == 200
    assert fakes.permissions.filters == [
        SuppressionFilter(
            tenant="billing", channel="sms", category="news", reason="manual", cursor=9, limit=2
        )
    ]
    assert answer["next_cursor"] == "6"
    _, second = answer["suppressions"]
    assert (second["channel"], second["recipient"]) == ("sms", True)
    assert second["expires_at"] == "2030-03-17T17:46:40.000Z"


async def test_last_page_has_no_cursor(edge: Any) -> None:
    _, answer = await call(edge, "GET", "/v1/suppressions")

    assert "next_cursor" not in answer


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=0", "cursor"),
        ("cursor=9999999999999999999", "cursor"),
        ("everybody=1", "everybody"),
        ("reason=", "reason"),
        ("reason=none", "reason"),
        ("channel=fax", "channel"),
        ("limit=0", "limit"),
        ("since=2026-11-01T00:00:00Z", "query"),
        ("limit=1&limit=2", "query"),
    ],
)
async def test_bad_query_names_the_parameter(edge: Any, query: str, field: str) -> None:
    status, answer = await call(edge, "GET", f"/v1/suppressions?{query}")

    assert (status, answer["faults"][0]["field"]) == (400, field)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        *((method, path, "send") for method, path, _ in BATCHES),
        ("POST", "/v1/consents/lookup", "read"),
        ("GET", "/v1/suppressions", "read"),
    ],
)
async def test_key_needs_the_scope(edge: Any, method: str, path: str, scope: str) -> None:
    other = {"send": "gw_read_admin", "read": "gw_send_admin"}[scope]

    status, _ = await call(edge, method, path, headers={"Authorization": f"Bearer {other}"})

    assert status == 403


async def test_list_for_everybody_needs_admin(edge: Any) -> None:
    path = "/v1/suppressions?everybody=true"

    mine, _ = await call(edge, "GET", path, headers={"Authorization": "Bearer gw_send_read"})
    admins, _ = await call(edge, "GET", path)

    assert (mine, admins) == (403, 200)


async def test_store_that_is_away_is_told(edge: Any, fakes: Any) -> None:
    fakes.permissions.failure = errors.StoreUnavailable("gone")

    status, _ = await call(edge, "PUT", "/v1/consents", [CONSENT])

    assert status == 503


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/consents"),
        ("POST", "/v1/consents/withdraw"),
        ("POST", "/v1/consents/lookup"),
        ("PUT", "/v1/suppressions"),
        ("GET", "/v1/suppressions"),
        ("POST", "/v1/suppressions/lift"),
    ],
)
async def test_every_request_counts_against_the_tenants_rate(
    edge: Any, fakes: Any, method: str, path: str
) -> None:
    async with edge.session.request(method, f"{edge.url}{path}", json=[]):
        counted, fakes.keys.retry_after = fakes.keys.admitted[:], 1.0
    async with edge.session.request(method, f"{edge.url}{path}", json=[]) as answer:
        status = answer.status

    assert counted == [1]
    assert status == 429
