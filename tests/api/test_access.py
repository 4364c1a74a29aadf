"""Who may do what: keys, scopes, throttled failures."""

import itertools
from typing import Any

import pytest

from gateway.api import limits, table
from gateway.api.throttle import Throttle
from gateway.clock import Clock
from gateway.model.errors import TooManyRequests
from gateway.model.submission import Scope

KNOWN = "01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a21"
ROUTES = [
    pytest.param(route, id=f"{route.method} {route.path}") for route in table.PUBLIC if route.scope
]


def address(edge: Any, route: Any) -> str:
    return str(edge.url + route.path.replace("{id}", KNOWN))


@pytest.mark.parametrize("route", ROUTES)
async def test_every_route_of_callers_needs_a_key(edge: Any, route: Any) -> None:
    headers = {"Authorization": ""}

    async with edge.session.request(route.method, address(edge, route), headers=headers) as answer:
        status, challenge = answer.status, answer.headers["WWW-Authenticate"]

    assert (status, challenge) == (401, "Bearer")


@pytest.mark.parametrize("route", ROUTES)
async def test_key_with_all_scopes_but_the_one_is_refused(edge: Any, route: Any) -> None:
    others = "_".join(scope for scope in Scope if scope is not route.scope)
    headers = {"Authorization": f"Bearer gw_{others}"}

    async with edge.session.request(route.method, address(edge, route), headers=headers) as answer:
        status = answer.status

    assert status == 403


@pytest.mark.parametrize("route", ROUTES)
async def test_key_with_that_scope_alone_passes(edge: Any, route: Any) -> None:
    headers = {"Authorization": f"bearer  gw_{route.scope}"}

    async with edge.session.request(route.method, address(edge, route), headers=headers) as answer:
        status = answer.status

    assert status not in (401, 403)
    assert status < 500


@pytest.mark.parametrize(
    "value", ["gw_send", "Basic Z3c6c2VuZA==", "Bearer", "Bearer gw send", "Bearer " + "x" * 600]
)
async def test_other_credentials_are_refused_unseen(edge: Any, fakes: Any, value: str) -> None:
    async with edge.session.get(
        f"{edge.url}/v1/messages", headers={"Authorization": value}
    ) as answer:
        status = answer.status

    assert status == 401
    assert fakes.keys.asked == 0


class TestThrottle:
    """With three failures in hand and one back every two seconds."""

    @pytest.fixture
    def bounds(self) -> limits.Limits:
        return limits.Limits(failure_burst=3, failure_rate=0.5, remembered=4)

    async def test_address_that_fails_too_often_must_wait(self, edge: Any, fakes: Any) -> None:
        statuses = [await get(edge, "wrong") for _ in range(5)]
        asked = fakes.keys.asked
        fakes.clock.now += 2.0
        statuses += [await get(edge, "wrong"), await get(edge, "wrong")]

        assert statuses == [401, 401, 401, 429, 429, 401, 429]
        assert asked == 3

    async def test_good_key_passes_whatever_its_neighbours_do(self, edge: Any) -> None:
        first = await get(edge, "gw_read")
        for _ in range(5):
            await get(edge, "wrong")

        assert first == 200
        assert await get(edge, "gw_read") == 200
        assert await get(edge, "gw_send_read") == 429  # not seen before: it might be a guess

    def test_table_is_bounded(self, bounds: limits.Limits, fakes: Any) -> None:
        clock: Clock = fakes.clock
        throttle = Throttle(bounds, clock)

        for number, _ in itertools.product(range(6), range(3)):
            throttle.failed(f"10.0.0.{number}")

        throttle.check("10.0.0.0", "k")  # forgotten, as the oldest
        with pytest.raises(TooManyRequests) as refused:
            throttle.check("10.0.0.5", "k")
        assert refused.value.retry_after == 2.0


async def get(edge: Any, token: str) -> int:
    async with edge.session.get(
        f"{edge.url}/v1/messages", headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        return int(answer.status)
