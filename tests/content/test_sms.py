"""Segments of SMS texts: published vectors, properties against a plain model, and peers."""

import gsm0338
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.content import sms

VECTORS = [
    ("a" * 160, "gsm7", 160, (160,)),
    ("a" * 161, "gsm7", 161, (153, 8)),
    ("a" * 306, "gsm7", 306, (153, 153)),
    ("a" * 307, "gsm7", 307, (153, 153, 1)),
    ("€" * 80, "gsm7", 160, (160,)),
    ("€" * 81, "gsm7", 162, (152, 10)),
    ("a" * 158 + "€", "gsm7", 160, (160,)),
    ("a" * 159 + "€", "gsm7", 161, (153, 8)),
    ("a" * 152 + "€" + "a" * 151, "gsm7", 305, (152, 153)),
    ("a" * 152 + "€" + "a" * 152, "gsm7", 306, (152, 153, 1)),
    ("中" * 70, "ucs2", 70, (70,)),
    ("中" * 71, "ucs2", 71, (67, 4)),
    ("中" * 134, "ucs2", 134, (67, 67)),
    ("中" * 135, "ucs2", 135, (67, 67, 1)),
    ("😀" * 35, "ucs2", 70, (70,)),
    ("😀" * 36, "ucs2", 72, (66, 6)),
    ("中" * 66 + "😀" + "中" * 66, "ucs2", 134, (66, 67, 1)),
    ("a" * 159 + "`", "ucs2", 160, (67, 67, 26)),
    ("a" * 69 + "ç", "ucs2", 70, (70,)),
    ("a" * 70 + "\u2019", "ucs2", 71, (67, 4)),
]


@pytest.mark.parametrize(("text", "alphabet", "units", "parts"), VECTORS)
def test_published_vectors(text: str, alphabet: str, units: int, parts: tuple[int, ...]) -> None:
    measured = sms.measure(text)

    assert (measured.alphabet, measured.units, measured.parts) == (alphabet, units, parts)


@pytest.mark.parametrize(
    ("length", "parts"),
    [(70, (70,)), (71, (67, 4)), (134, (67, 67)), (135, (67, 67, 1)), (160, (67, 67, 26))],
)
def test_mainland_carriers_count_latin_letters_like_chinese(
    length: int, parts: tuple[int, ...]
) -> None:
    measured = sms.measure("a" * length, china=True)

    assert measured.parts == parts


@pytest.mark.parametrize(
    "character", list("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà '\"-]\\^")
)
def test_characters_of_the_gsm_tables_keep_seven_bits(character: str) -> None:
    assert sms.measure(character).alphabet is sms.Alphabet.GSM7


@pytest.mark.parametrize("character", list("`\t\x00\x1bçáíóúâ\u201c\u2013…ÈÀΑΒ\xa0"))
def test_other_characters_need_sixteen_bits(character: str) -> None:
    assert sms.measure(character).alphabet is sms.Alphabet.UCS2


def test_an_empty_text_is_one_segment() -> None:
    assert sms.measure("").parts == (0,)


def test_a_combining_accent_is_composed_so_that_the_text_stays_gsm() -> None:
    text = sms.normalise("cafe\u0301")

    assert sms.measure(text) == sms.SmsText(
        alphabet=sms.Alphabet.GSM7, characters=4, units=4, parts=(4,)
    )


@given(st.text(alphabet=st.sampled_from("ab€{中😀é`"), max_size=200), st.booleans())
def test_count_is_that_of_the_segments(text: str, china: bool) -> None:
    assert sms.count(text, china=china) == len(sms.measure(text, china=china).parts)


MIXED = st.lists(
    st.sampled_from(["a" * 66, "a" * 151, "中" * 66, "€", "😀", "b", "é", "`"]), max_size=12
).map("".join)


@given(st.text(max_size=200) | MIXED, st.booleans())
def test_no_character_is_cut_and_none_is_lost_when_a_text_is_split(text: str, china: bool) -> None:
    whole = sms.measure(text, china=china)

    parts = sms.split(text, china=china)

    assert "".join(parts) == text
    assert [units(part, whole.alphabet) for part in parts] == list(whole.parts)


def units(part: str, alphabet: sms.Alphabet) -> int:
    """As peers count them, who know nothing of segments."""
    if alphabet is sms.Alphabet.GSM7:
        return len(gsm0338.Codec().encode(part)[0])
    return len(part.encode("utf-16-be", "surrogatepass")) // 2


@pytest.mark.parametrize(("text", "alphabet", "count", "sizes"), VECTORS)
def test_published_vectors_are_split_as_they_are_measured(
    text: str, alphabet: str, count: int, sizes: tuple[int, ...]
) -> None:
    parts = sms.split(text)

    assert tuple(units(part, sms.Alphabet(alphabet)) for part in parts) == sizes


def test_escape_and_surrogate_pairs_stay_in_one_segment() -> None:
    gsm = sms.split("a" * 152 + "€" + "a" * 152)
    ucs = sms.split("中" * 66 + "😀" + "中" * 66)

    assert [len(part) for part in gsm] == [152, 152, 1]
    assert gsm[1].startswith("€")
    assert [len(part) for part in ucs] == [66, 66, 1]
    assert ucs[1].startswith("😀")


def test_characters_are_those_that_people_see() -> None:
    assert (sms.measure("€€").characters, sms.measure("€€").units) == (2, 4)
    assert (sms.measure("😀").characters, sms.measure("😀").units) == (1, 2)


ALPHABET = [chr(one) for one in range(0x2100) if sms.is_gsm(chr(one))]


def test_the_alphabet_is_that_of_a_peer_but_for_escape() -> None:
    codec = gsm0338.Codec()
    theirs = [chr(one) for one in range(0x2100) if encodes(codec, chr(one))]

    assert [one for one in theirs if one != "\x1b"] == ALPHABET
    assert len(ALPHABET) == 127 + 10


def encodes(codec: gsm0338.Codec, character: str) -> bool:
    try:
        codec.encode(character)
    except UnicodeError:
        return False
    return True


@given(st.text(alphabet=st.sampled_from(ALPHABET), max_size=400))
def test_septets_are_counted_as_a_peer_makes_them(text: str) -> None:
    assert sms.measure(text).units == len(gsm0338.Codec().encode(text)[0])


@given(st.text(alphabet=st.sampled_from("ab€{中😀é`"), max_size=500), st.booleans())
def test_segments_hold_every_unit_and_none_is_short_without_reason(text: str, china: bool) -> None:
    measured = sms.measure(text, china=china)

    gsm = measured.alphabet is sms.Alphabet.GSM7
    single, part = (160, 153) if gsm else (70, 67)
    assert sum(measured.parts) == measured.units
    assert measured.units == (
        len(text) + sum(map(text.count, "€{")) if gsm else len(text.encode("utf-16-be")) // 2
    )
    assert all(size <= part for size in measured.parts) or measured.parts == (measured.units,)
    assert all(size >= part - 1 for size in measured.parts[:-1])
    assert (len(measured.parts) == 1) == (measured.units <= single)
