"""A day's quota is set aside before it is used: a crash loses some and mints none."""

from typing import Any

from gateway.dispatch.quota import DailyQuota


def quota_of(world: Any, limit: int = 10, zone: str = "UTC") -> DailyQuota:
    return DailyQuota(world.store, world.clock, account="a", limit=limit, zone=zone)


async def test_what_is_not_spent_is_kept_for_the_next_time(world: Any) -> None:
    quota = quota_of(world)

    first = await quota.reserve(6)
    quota.spend(2)
    second = await quota.reserve(6)
    quota.spend(6)
    third = await quota.reserve(6)

    assert (first, second, third) == (6, 6, 2)


async def test_processes_share_a_day_and_a_crash_mints_nothing(world: Any) -> None:
    crashed, other = quota_of(world), quota_of(world)

    assert await crashed.reserve(6) == 6
    assert await other.reserve(10) == 4


async def test_new_day_is_whole_and_the_old_one_s_rest_is_gone(world: Any) -> None:
    quota = quota_of(world)
    await quota.reserve(10)
    quota.spend(4)

    await world.jump(86_400.0)

    assert await quota.reserve(20) == 10
