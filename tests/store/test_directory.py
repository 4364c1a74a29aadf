"""Keys, endpoints, bans, permissions and daily quotas."""

from typing import Any

from gateway.model.values import replace
from gateway.model.view import Endpoint
from gateway.store.base import EndpointRecord, Store, TenantKey

KEY = TenantKey(
    id="1", tenant="billing", hash="h", scopes=frozenset({"send", "read"}), created_ms=1
)
ENDPOINT = EndpointRecord(
    endpoint=Endpoint(
        id="e",
        tenant="billing",
        url="https://example.com/ü",
        secrets=("whsec_a", "whsec_b"),
        events=("message.failed",),
        configured=True,
        disabled_ms=3,
        reason="it's off",
        created_ms=2,
    ),
    failing_ms=4,
)


async def test_keys_are_kept_and_revoked_once(store: Store) -> None:
    other = replace(KEY, id="2", hash="i", scopes=frozenset())
    await store.put_key(KEY)
    await store.put_key(other)

    revoked = [await store.revoke_key(id_, now_ms=9) for id_ in ("1", "1", "none")]

    assert revoked == [True, False, False]
    assert {one.id: one for one in await store.keys()} == {
        "1": replace(KEY, revoked_ms=9),
        "2": other,
    }


async def test_endpoints_are_kept_replaced_and_deleted(store: Store) -> None:
    plain = EndpointRecord(
        endpoint=Endpoint(id="f", tenant="billing", url="u", secrets=("s",), created_ms=1)
    )
    await store.put_endpoint(replace(plain, failing_ms=1))
    await store.put_endpoint(plain)
    await store.put_endpoint(ENDPOINT)

    kept = {one.endpoint.id: one for one in await store.endpoints()}
    await store.delete_endpoint("f")
    await store.delete_endpoint("none")

    assert kept == {"e": ENDPOINT, "f": plain}
    assert await store.endpoints() == [ENDPOINT]


async def test_version_tells_of_changes_by_others(open_store: Any) -> None:
    ours, theirs = await open_store("n1"), await open_store("n2")
    versions = [await ours.directory_version()]

    for change in (
        theirs.put_key(KEY),
        theirs.revoke_key("1", now_ms=9),
        theirs.put_endpoint(ENDPOINT),
        theirs.delete_endpoint("e"),
    ):
        await change
        versions.append(await ours.directory_version())

    assert len(set(versions)) == 5
    assert await ours.directory_version() == versions[-1]


async def test_quota_is_given_out_up_to_its_limit(store: Store) -> None:
    taken = [await store.take_quota("acme", "2026-11-21", amount=4, limit=10) for _ in range(4)]
    other = await store.take_quota("other", "2026-11-21", amount=4, limit=10)

    assert taken == [4, 4, 2, 0]
    assert other == 4


async def test_quota_is_whole_again_the_next_day(store: Store) -> None:
    await store.take_quota("acme", "2026-11-30", amount=10, limit=10)

    assert await store.take_quota("acme", "2026-12-01", amount=10, limit=10) == 10
    assert await store.take_quota("acme", "2026-12-01", amount=10, limit=10) == 0


async def test_lowered_quota_gives_nothing_rather_than_less(store: Store) -> None:
    await store.take_quota("acme", "2026-11-21", amount=8, limit=10)

    assert await store.take_quota("acme", "2026-11-21", amount=1, limit=5) == 0
    assert await store.take_quota("acme", "2026-11-21", amount=9, limit=10) == 2


async def test_secret_is_made_once(open_store: Any) -> None:
    one, other = await open_store("n1"), await open_store("n2")

    secret = await one.secret("addresses")

    assert len(secret) == 32
    assert await other.secret("addresses") == secret
    assert await other.secret("cursor") != secret
