"""Numbers as SMPP has them: digits, a type of number (SMPP 3.4 §5.2.5) and a plan (§5.2.6)."""

import re
from typing import Final

from gateway.content import addresses
from gateway.model import smpp

#: What a sender may be: digits, or a name of at most 11 characters.
SENDER: Final = re.compile(r"\+?[0-9]{1,20}|[ !-~]{1,11}")

#: Digits of the longest short code.
_SHORT_CODE = 8

#: Types of number (§5.2.5): unknown, international, national.
_UNKNOWN, _INTERNATIONAL, _NATIONAL = 0, 1, 2


def source(sender: str, *, ton: int | None, npi: int | None) -> tuple[int, int, str]:
    """(type of number, numbering plan, address) of our sender; what is None goes by its look."""
    address = sender.removeprefix("+")
    if not address:
        by_look = 0, 0
    elif not address.isdecimal():
        by_look = 5, 0
    else:
        by_look = (0 if len(sender) <= _SHORT_CODE else 1), 1
    return (by_look[0] if ton is None else ton, by_look[1] if npi is None else npi, address)


def sender_of(delivery: smpp.Delivery, country: str) -> str:
    """Who wrote, in E.164 where it can be told. country: of numbers that say none; '' unknown.

    Short codes and names stay as they are, and so does what is no number of its country.
    """
    digits = delivery.source.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):
        return delivery.source
    if delivery.source_ton == _INTERNATIONAL:
        return "+" + digits
    if not country or delivery.source_ton not in (_UNKNOWN, _NATIONAL):
        return delivery.source
    is_national = delivery.source_ton == _NATIONAL
    return addresses.complete_phone(digits, country, is_national=is_national) or delivery.source
