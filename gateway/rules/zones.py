"""Whose clock counts: the time zones that a recipient may be in.

A phone number tells its country and, in some countries, its region. Where that spans several zones
all of them are meant: an hour must be fine in each, as nobody can tell which one the phone is in.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway.model.zones import is_zone

#: Calling codes whose area codes are a place for mobiles, too: North America, Mexico, Argentina,
#: Brazil and Indonesia (phonenumbers' `is_number_type_geographical`; a test says so). China's are
#: as well, and it has one zone.
_BY_AREA = frozenset({"1", "52", "54", "55", "62"})


class _Numbers(NamedTuple):
    #: by the digits that a number begins with
    zones: Mapping[str, tuple[str, ...]]
    longest: int
    #: calling codes, of which none begins another
    codes: frozenset[str]


@lru_cache(1)
def _numbers() -> _Numbers:
    # takes a tenth of a second, which configurations without rules of time need not spend
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
    from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

    codes = frozenset(map(str, COUNTRY_CODE_TO_REGION_CODE))
    return _Numbers(TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX, codes)


def prepare() -> None:
    """Load what `of_recipient` needs, which takes a tenth of a second."""
    _numbers()
    is_zone("")


@lru_cache(1024)
def zone(name: str) -> ZoneInfo:
    """The zone of a name that the database has."""
    return ZoneInfo(name)


def of_number(phone: str) -> tuple[str, ...]:
    """Zones that a number in E.164 may be in; () where that cannot be told, as of satellites."""
    return _of_digits(phone[1 : 1 + _numbers().longest])


@lru_cache(8192)
def _of_digits(digits: str) -> tuple[str, ...]:
    numbers = _numbers()
    starts = [digits[:length] for length in range(1, len(digits) + 1)]
    code = next((start for start in starts if start in numbers.codes), "")
    if code not in _BY_AREA:
        return numbers.zones.get(code, ())
    return next((found for one in reversed(starts) if (found := numbers.zones.get(one))), ())


def of_recipient(own: str, phone: str) -> tuple[str, ...]:
    """Zones that a recipient may be in; () when nobody knows. own: as the recipient or the caller
    gives it; '' if neither does. phone: '' without one."""
    if own and is_zone(own):
        return (own,)
    return of_number(phone) if phone else ()
