"""Which zones a recipient may be in."""

import phonenumbers
import pytest
from phonenumbers import timezone as reference
from phonenumbers.phonenumberutil import PhoneNumberType, is_number_type_geographical

from gateway.model.zones import is_zone
from gateway.rules import zones


def test_number_tells_the_zone_of_a_country_that_has_one() -> None:
    assert zones.of_number("+8613800138000") == ("Asia/Shanghai",)
    assert zones.of_number("+4915112345678") == ("Europe/Berlin",)


def test_area_code_tells_the_zone_in_north_america() -> None:
    assert zones.of_number("+12125550123") == ("America/New_York",)
    assert zones.of_number("+18085550123") == ("Pacific/Honolulu",)


def test_number_of_no_area_may_be_anywhere_in_its_country() -> None:
    everywhere = zones.of_number("+18005550123")

    assert {"America/New_York", "America/Los_Angeles", "Pacific/Honolulu"} < set(everywhere)


def test_mobile_may_be_anywhere_in_a_country_of_several_zones() -> None:
    assert {"Australia/Perth", "Australia/Sydney"} < set(zones.of_number("+61412345678"))
    assert {"Europe/Moscow", "Asia/Kamchatka"} < set(zones.of_number("+79161234567"))


def test_number_without_a_country_tells_nothing() -> None:
    assert zones.of_number("+882161234567") == ()


#: An example by region, of those whose mobiles are told from other numbers.
MOBILES = {
    region: number
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if phonenumbers.country_code_for_region(region) != 1
    and (number := phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE))
}


@pytest.mark.parametrize("region", MOBILES)
def test_no_mobile_has_fewer_zones_than_the_reference_knows(region: str) -> None:
    number = MOBILES[region]
    text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    assert set(zones.of_number(text)) >= set(reference.time_zones_for_number(number))


def test_countries_whose_mobiles_have_a_place_are_the_ones_that_the_reference_knows() -> None:
    codes = {
        str(code)
        for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE
        if is_number_type_geographical(PhoneNumberType.MOBILE, code)
    }

    # North America's numbers say nothing of what they are for; China has one zone
    assert codes ^ set(zones._BY_AREA) == {"1", "86"}


def test_own_zone_comes_before_the_numbers() -> None:
    assert zones.of_recipient("Europe/Paris", "+8613800138000") == ("Europe/Paris",)
    assert zones.of_recipient("", "+8613800138000") == ("Asia/Shanghai",)
    assert zones.of_recipient("", "") == ()


def test_zone_that_no_longer_exists_counts_as_unknown() -> None:
    assert zones.of_recipient("Mars/Olympus", "+8613800138000") == ("Asia/Shanghai",)


@pytest.mark.parametrize(
    "name", ["", "asia/shanghai", "../etc/passwd", "Asia", "localtime", "Factory", "UTC+8"]
)
def test_only_names_of_the_database_are_zones(name: str) -> None:
    assert not is_zone(name)
    assert is_zone("Asia/Shanghai")
    assert is_zone("UTC")
