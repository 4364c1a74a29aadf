"""Names of time zones, as callers and recipients give them."""

from functools import lru_cache
from zoneinfo import available_timezones

#: Names in the database that are no place.
_NO_PLACE = frozenset({"Factory", "localtime"})


@lru_cache(1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones() - _NO_PLACE)


def is_zone(name: str) -> bool:
    """Whether the IANA database has a zone of this name. The first call takes some 30 ms."""
    return name in _names()
