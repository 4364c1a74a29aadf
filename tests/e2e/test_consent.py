"""Consent and suppression as callers see them: whatever is recorded, offers need consent and codes
heed no opt-out."""

import asyncio
import itertools
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, example, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from gateway import settings
from gateway.app import Gateway

KEY = "gw_e2e_key_of_shop"
COUNT = itertools.count()

#: What can be done about somebody: (what, seconds ago).
AGREE, WITHDRAW, BAN, OPT_OUT, LIFT = "agree", "withdraw", "ban", "opt out", "lift"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a gateway in a thread of its own, whose workers stand still."""
    folder: Path = tmp_path_factory.mktemp("consent")
    tables: dict[str, Any] = {
        "store": {"url": f"sqlite://{folder}/gateway.db"},
        "api": {"listen": "127.0.0.1:0", "internal": "127.0.0.1:0"},
        "tenants": {"shop": {"keys": [KEY], "scopes": ["send", "read", "admin"]}},
        "categories": {"marketing": {"consent": True, "unsubscribe": True}},
        "lanes": {"email": {"channel": "email", "providers": ["relay"]}},
        "providers": {
            "relay": {"kind": "smtp", "host": "127.0.0.1", "port": 9, "from": "a@example.com"}
        },
    }
    with asyncio.Runner() as runner:
        gateway = Gateway(settings.parse(tables, environ={}))
        runner.run(gateway.__aenter__())
        thread = threading.Thread(target=runner.get_loop().run_forever)
        thread.start()
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{gateway.port}",
                headers={"Authorization": f"Bearer {KEY}"},
            ) as made:
                yield made
        finally:
            runner.get_loop().call_soon_threadsafe(runner.get_loop().stop)
            thread.join()
            runner.run(gateway.__aexit__(None, None, None))


def do(client: httpx.Client, to: dict[str, str], what: str, at: datetime) -> str:
    """The state of the one item, or `problem`."""
    item = {"to": to, "category": "marketing", "source": "test", "at": at.isoformat()}
    method, path, body = {
        AGREE: ("PUT", "/v1/consents", item),
        WITHDRAW: ("POST", "/v1/consents/withdraw", item),
        BAN: ("PUT", "/v1/suppressions", {"to": to, "reason": "complaint"}),
        OPT_OUT: ("PUT", "/v1/suppressions", {"to": to, "reason": "opt_out"}),
        LIFT: ("POST", "/v1/suppressions/lift", {"to": to, "reason": "complaint"}),
    }[what]
    answer = client.request(method, path, json=[body])
    (result,) = answer.json()["results"]
    return str(result.get("state", "problem"))


def can_get(client: httpx.Client, to: dict[str, str], category: str) -> str:
    """The state of a message that is posted, or `refused`."""
    message = {"to": to, "category": category, "content": {"text": "hello", "subject": "hello"}}
    answer = client.post("/v1/messages", json=message)
    if answer.status_code == 422:
        assert "consent" in answer.json()["faults"][0]["detail"]
        return "refused"
    return str(answer.json()["state"])


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from([AGREE, AGREE, WITHDRAW, WITHDRAW, BAN, OPT_OUT, LIFT]),
        st.integers(1, 6),
        st.booleans(),
    ),
    max_size=8,
)


@given(history=HISTORIES)
@example(history=[(AGREE, 3, False), (WITHDRAW, 2, False), (AGREE, 3, False)])
@example(history=[(WITHDRAW, 3, True), (AGREE, 2, False), (AGREE, 2, True)])
@bounded(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
def test_offers_need_consent_and_codes_heed_no_opt_out(
    client: httpx.Client, history: Sequence[tuple[str, int, bool]]
) -> None:
    """history: (what, days ago, whether about the recipient's id and not the address)."""
    number, start = next(COUNT), datetime.now(UTC)
    address, person = {"email": f"user{number}@example.com"}, {"recipient": f"user-{number}"}
    wishes: dict[bool, tuple[datetime, bool]] = {}
    bans: set[tuple[str, bool]] = set()

    for what, days, by_id in history:
        at = start - timedelta(days=days)
        do(client, person if by_id else address, what, at)
        if what in (AGREE, WITHDRAW):
            # of two wishes at the same time the refusal stands
            said = (at, what is WITHDRAW)
            wishes[by_id] = max(wishes.get(by_id, said), said)
        elif what is LIFT:
            bans.discard((BAN, by_id))
        else:
            bans.add((what, by_id))

    both = {**address, **person}
    refused = any(is_refusal for _, is_refusal in wishes.values())
    agreed = any(not is_refusal for _, is_refusal in wishes.values())
    banned = any(what is BAN for what, _ in bans)
    offers = "refused" if not agreed else "suppressed" if refused or bans else "queued"
    assert can_get(client, both, "marketing") == offers
    for category in ("service", "otp"):
        assert can_get(client, both, category) == ("suppressed" if banned else "queued")


def test_list_sent_again_undoes_no_refusal(client: httpx.Client) -> None:
    to = {"email": "li@example.com"}
    at = datetime.now(UTC)
    listed = at - timedelta(days=9)

    states = [
        do(client, to, AGREE, listed),
        do(client, to, WITHDRAW, at - timedelta(days=1)),
        do(client, to, AGREE, listed),
        do(client, to, WITHDRAW, listed),
        do(client, to, AGREE, at),
    ]

    assert states == ["recorded", "recorded", "refused", "superseded", "recorded"]
    assert can_get(client, to, "marketing") == "queued"


def test_consent_of_tomorrow_is_refused_by_its_field(client: httpx.Client) -> None:
    at = datetime.now(UTC) + timedelta(days=1)
    item = {"to": {"email": "li@example.com"}, "category": "marketing", "source": "form"}

    answer = client.put("/v1/consents", json=[{**item, "at": at.isoformat()}])

    (result,) = answer.json()["results"]
    assert answer.status_code == 422
    assert result["problem"]["faults"] == [{"field": "at", "detail": "lies in the future"}]
