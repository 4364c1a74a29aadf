"""Recipients' addresses: checked, brought to one canonical form, and hashed.

Errors are ValueErrors whose text never repeats the address. Common forms take a cheap exact path
(about 1 µs); everything else goes through phonenumbers and email-validator (about 60 µs each),
which are imported when the first such address comes: they take longer than the rest of a command.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

#: Mainland mobiles without 179, which numbering plans read as a carrier prefix, and the North
#: American form. By phonenumbers' metadata each is possible and its own E.164 form (a test says
#: so).
_COMMON_PHONE = re.compile(r"\+86(?!179)1[3-9][0-9]{9}|\+1[2-9][0-9]{2}[2-9][0-9]{6}")
#: E.164 allows 15 digits; the rest is how people group them.
_PHONE = re.compile(r"\+[0-9][0-9 ().-]{3,30}")

#: Fewer are a short code, where the metadata does not know better.
_LEAST_DIGITS: Final = 9

_LABEL = r"(?=[a-z0-9-]{1,63}(?:\.|$))[a-z0-9]+(?:-[a-z0-9]+)*"
_COMMON_EMAIL = re.compile(
    rf"(?=[^@]{{1,64}}@)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@{_LABEL}(?:\.{_LABEL})*"
)
#: RFC 5321 §4.5.3.1.3, less the angle brackets.
_EMAIL_LIMIT: Final = 254
#: Appended to a special-use domain while it is checked: `example` is none in email-validator.
_STAND_IN: Final = ".example"

#: Longest known: a Web Push subscription with its keys is under 1 KiB, FCM tokens under 300.
_TOKEN_LIMIT: Final = 4096
_TOKEN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_ID_LIMIT: Final = 128
_URL_LIMIT: Final = 2048
_URL = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)


def check_phone(value: str) -> str:
    """The number in E.164. It needs the `+`; blanks, dots, dashes and brackets are dropped.

    It must be possible (its country's lengths), not in service: numbering plans change faster
    than metadata, and providers' test numbers such as +1 500 555 0006 are not valid ones.
    """
    if _COMMON_PHONE.fullmatch(value):
        return value
    if not _PHONE.fullmatch(value):
        raise ValueError("not a phone number in E.164: + and 7 to 15 digits")
    import phonenumbers

    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        raise ValueError("not a phone number: no such country code, or too few digits") from None
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise ValueError("not a phone number: wrong length for its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def is_country(code: str) -> bool:
    """Whether it is an ISO 3166 code of two letters with numbers of its own."""
    import phonenumbers

    return code in phonenumbers.SUPPORTED_REGIONS


def country_of(phone: str) -> str:
    """ISO 3166 code of where an E.164 number belongs; '' when it cannot be told."""
    import phonenumbers

    try:
        number = phonenumbers.parse(phone, None)
    except phonenumbers.NumberParseException:
        return ""
    return phonenumbers.region_code_for_number(number) or ""


def complete_phone(digits: str, country: str, *, is_national: bool) -> str:
    """E.164 of a number as a network in `country` writes it: national, with a trunk prefix or
    without, or, unless it is known to be national, with a country code. '' when it is none, such
    as a short code.
    """
    import phonenumbers

    possible = ""
    for spelt in (digits,) if is_national else (digits, f"+{digits.removeprefix('00')}"):
        try:
            number = phonenumbers.parse(spelt, country)
        except phonenumbers.NumberParseException:
            continue
        full = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if phonenumbers.is_valid_number(number):
            return full
        if len(digits) >= _LEAST_DIGITS and phonenumbers.is_possible_number(number):
            possible = possible or full  # numbering plans change faster than metadata
    return possible


def check_email(value: str) -> str:
    """The address with its domain in lower case and, if the local part is ASCII, as A-labels.

    Domains without a dot and special-use ones (RFC 6761: localhost, .test) are allowed: internal
    mail goes to internal hosts. Quoted local parts, address literals and names are not.
    """
    if len(value) <= _EMAIL_LIMIT and _COMMON_EMAIL.fullmatch(value):
        return value
    import email_validator

    domain = "." + value.rpartition("@")[2].lower()
    special = tuple(f".{name}" for name in email_validator.SPECIAL_USE_DOMAIN_NAMES)
    stand_in = _STAND_IN if domain.endswith(special) else ""
    try:
        checked = email_validator.validate_email(
            value + stand_in, check_deliverability=False, globally_deliverable=False, strict=True
        )
    except email_validator.EmailNotValidError:
        raise ValueError("not an email address") from None
    canonical = checked.ascii_email or checked.normalized
    return canonical.removesuffix(stand_in)


def check_token(value: str) -> str:
    """A push token, or a Web Push subscription as JSON: printable ASCII, up to 4096 characters."""
    if len(value) > _TOKEN_LIMIT or not _TOKEN.fullmatch(value):
        raise ValueError(f"not a push token: 1 to {_TOKEN_LIMIT} printable ASCII characters")
    return value


def check_id(value: str) -> str:
    """An id in WeChat, WeCom or a chat: up to 128 printable characters without blanks.

    `|` and `@all` are refused: WeCom would send to several people, or to everyone.
    """
    if not 1 <= len(value) <= _ID_LIMIT or not value.isprintable() or " " in value:
        raise ValueError(f"not an id: 1 to {_ID_LIMIT} printable characters without blanks")
    if "|" in value or value.lower() == "@all":
        raise ValueError("not an id of one recipient")
    return value


def check_url(value: str) -> str:
    """An http or https URL in ASCII, with a host and without credentials or fragment.

    Whether we may connect there is decided when we do: names change what they point to.
    """
    if len(value) > _URL_LIMIT or not _URL.fullmatch(value) or "\\" in value:
        raise ValueError(f"not an http or https URL of up to {_URL_LIMIT} ASCII characters")
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("not a URL with a host and a valid port")
    if "@" in parts.netloc or "#" in value:
        raise ValueError("a URL here has no user, password or fragment")
    return value


#: By the name of its field, how each kind of address is checked; devices aside.
CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "phone": check_phone,
    "email": check_email,
    "wechat": check_id,
    "wecom": check_id,
    "chat": check_id,
    "url": check_url,
}


def hash_address(key: bytes, channel: str, value: str) -> str:
    """A keyed 128-bit hash in hex, by which an address can be found but not read.

    key: 1 to 64 secret bytes (RFC 7693 §2.1). value: canonical. Email ignores case, as mail systems
    do in practice, so that a refusal cannot be escaped by capitals.
    """
    if not key:
        raise ValueError("an empty key would make the hashes guessable")
    canonical = value.casefold() if channel == "email" else value
    text = (channel + "\0" + canonical).encode()
    return hashlib.blake2b(text, digest_size=16, key=key).hexdigest()
