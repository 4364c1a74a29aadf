"""Octets of the GSM alphabet, and cuts of long texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.content import gsm, sms

GSM_TEXTS = st.text(gsm.BASIC.replace("\x1b", "") + "".join(gsm.EXTENSION), max_size=400)


def test_every_character_of_the_tables_counts_as_gsm() -> None:
    for character in gsm.BASIC.replace("\x1b", "") + "".join(gsm.EXTENSION):
        assert sms.measure(character).alphabet is sms.Alphabet.GSM7


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("@", "00"),
        ("€", "1b65"),
        ("Hello", "48656c6c6f"),
        ("é_Ç\n\r§à", "0511090a0d5f7f"),
        ("\f^{}\\[~]|", "1b0a1b141b281b291b2f1b3c1b3d1b3e1b40"),
    ],
)
def test_septets_are_one_an_octet(text: str, octets: str) -> None:
    assert gsm.encode(text) == bytes.fromhex(octets)
    assert gsm.decode(bytes.fromhex(octets)) == text


@given(GSM_TEXTS)
def test_what_was_encoded_is_decoded(text: str) -> None:
    assert gsm.decode(gsm.encode(text)) == text
    assert len(gsm.encode(text)) == sms.measure(text).units


@given(st.binary(max_size=100))
def test_any_octets_can_be_decoded(octets: bytes) -> None:
    assert len(gsm.decode(octets)) <= len(octets)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("", ""), ("hellohello", "e8329bfd4697d9ec37"), ("1234567", "31d98c56b3dd00")],
)
def test_septets_are_packed_as_the_air_wants_them(text: str, octets: str) -> None:
    assert gsm.pack(gsm.encode(text)) == bytes.fromhex(octets)


def test_septets_after_a_header_begin_at_a_septet() -> None:
    # six octets are 48 bits: one bit is filled up to 49
    assert gsm.pack(b"\x7f", after=6) == b"\xfe"
    assert gsm.pack(b"\x7f", after=7) == b"\x7f"
    assert len(gsm.pack(b"a" * 153, after=6)) == 134


@given(st.one_of(GSM_TEXTS, st.text(max_size=300)), st.sampled_from([66, 67, 152, 153]))
def test_cuts_lose_nothing_and_leave_characters_whole(text: str, limit: int) -> None:
    is_gsm = sms.measure(text).alphabet is sms.Alphabet.GSM7

    segments = gsm.cut(text, limit, is_gsm=is_gsm)

    assert "".join(segments) == text
    assert all(sms.measure(one).units <= limit for one in segments if is_gsm)


@pytest.mark.parametrize(
    "text", ["a" * 161, "a" * 152 + "€" + "a" * 152, "中" * 66 + "😀" + "中" * 66]
)
def test_segments_are_those_that_are_counted(text: str) -> None:
    measured = sms.measure(text)
    is_gsm = measured.alphabet is sms.Alphabet.GSM7

    segments = gsm.cut(text, 153 if is_gsm else 67, is_gsm=is_gsm)

    units = [len(gsm.encode(s)) if is_gsm else len(s.encode("utf-16-be")) // 2 for s in segments]
    assert tuple(units) == measured.parts
