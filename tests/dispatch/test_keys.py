"""Who is calling, and how much a tenant may submit."""

from typing import Any

import pytest

from gateway.clock import LoopClock
from gateway.dispatch.keys import Keys, key_hash, new_key
from gateway.model.errors import StoreUnavailable, TooManyRequests, Unauthorised
from gateway.model.submission import Caller, Scope

TENANTS: dict[str, Any] = {
    "billing": {"keys": ["configured-key-of-billing-0123456789"], "rate": 10},
    "shop": {"keys": ["configured-key-of-shop-0123456789"], "scopes": ["read"]},
}


@pytest.fixture
async def world(make_world: Any) -> Any:
    return await make_world(tenants=TENANTS)


@pytest.fixture
async def keys(world: Any) -> Keys:
    return Keys(world.settings.tenants, world.store, world.clock)


async def test_configured_key_names_its_tenant(keys: Keys) -> None:
    caller = await keys.authenticate("configured-key-of-shop-0123456789")

    assert caller == Caller(tenant="shop", scopes=frozenset({Scope.READ}))


@pytest.mark.parametrize("token", ["", "gw_", "configured-key-of-shop-012345678", "x" * 10_000])
async def test_unknown_key_is_refused(keys: Keys, token: str) -> None:
    with pytest.raises(Unauthorised):
        await keys.authenticate(token)


async def test_created_key_works_after_a_refresh_until_it_is_revoked(
    keys: Keys, world: Any
) -> None:
    key, kept = new_key("billing", frozenset({Scope.SEND}), world.clock)
    await world.store.put_key(kept)

    await keys.refresh()
    caller = await keys.authenticate(key)
    await world.store.revoke_key(kept.id, now_ms=1)
    await keys.refresh()

    assert caller == Caller(tenant="billing", scopes=frozenset({Scope.SEND}))
    with pytest.raises(Unauthorised):
        await keys.authenticate(key)


async def test_refresh_that_failed_is_made_up_for(
    keys: Keys, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, kept = new_key("billing", frozenset({Scope.SEND}), world.clock)
    await world.store.put_key(kept)

    async def away() -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "keys", away)
        with pytest.raises(StoreUnavailable):
            await keys.refresh()
    await keys.refresh()

    assert (await keys.authenticate(key)).tenant == "billing"


async def test_key_is_long_prefixed_and_kept_as_a_hash(clock: LoopClock) -> None:
    made = [new_key("billing", frozenset(Scope), clock) for _ in range(50)]

    assert len({key for key, _ in made}) == 50
    for key, kept in made:
        assert key.startswith("gw_")
        assert len(key) >= 3 + 256 / 6
        assert kept.hash == key_hash(key)
        assert key not in repr(kept)


async def test_tenant_may_submit_up_to_its_rate(keys: Keys, world: Any) -> None:
    caller = world.caller("billing")

    await keys.admit(caller, 10)
    with pytest.raises(TooManyRequests) as refused:
        await keys.admit(caller, 1)
    await world.clock.sleep(refused.value.retry_after)

    await keys.admit(caller, 1)
    assert refused.value.retry_after == pytest.approx(0.1)


async def test_large_batch_passes_when_the_rate_has_been_saved_up_and_is_paid_for(
    keys: Keys, world: Any
) -> None:
    caller = world.caller("billing")

    await keys.admit(caller, 100)

    with pytest.raises(TooManyRequests) as refused:
        await keys.admit(caller, 1)
    assert refused.value.retry_after == pytest.approx(9.1)


async def test_tenant_without_a_rate_may_submit_what_it_likes(keys: Keys, world: Any) -> None:
    refused = []
    for _ in range(100):
        try:
            await keys.admit(world.caller("shop"), 1000)
        except TooManyRequests as error:
            refused.append(error)

    assert refused == []
