"""Header blocks, read back by hpack's decoder."""

import pytest
from hpack import Decoder, HeaderTuple, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.http2_fields import FieldEncoder

Pair = tuple[bytes, bytes]

NAMES = st.sampled_from([b":method", b":path", b"authorization", b"apns-id", b"content-length"])
VALUES = st.one_of(
    st.sampled_from([b"POST", b"/", b"", b"x" * 126, b"x" * 127, b"x" * 300, b"x" * 5000]),
    st.binary(max_size=40),
)
FIELDS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=12)


def tuples(fields: list[tuple[bytes, bytes, bool]]) -> list[HeaderTuple]:
    return [
        NeverIndexedHeaderTuple(name, value) if never else HeaderTuple(name, value)
        for name, value, never in fields
    ]


@given(st.lists(st.tuples(FIELDS, st.sampled_from([None, 0, 100, 400, 4096, 65_536])), max_size=20))
def test_decoder_reads_what_was_written_whatever_the_peer_allows(
    blocks: list[tuple[list[tuple[bytes, bytes, bool]], int | None]],
) -> None:
    encoder, decoder = FieldEncoder(), Decoder(max_header_list_size=10**6)
    for fields, size in blocks:
        if size is not None:
            encoder.header_table_size = size
            decoder.max_allowed_table_size = size

        block = encoder.encode(tuples(fields))

        decoded = decoder.decode(block, raw=True)
        assert [tuple(one) for one in decoded] == [field[:2] for field in fields]


def test_field_that_comes_again_is_one_octet() -> None:
    encoder = FieldEncoder()
    token = HeaderTuple(b"authorization", b"bearer " + b"x" * 200)
    encoder.encode([token])

    assert len(encoder.encode([token])) == 1


def test_field_that_must_not_be_remembered_never_is() -> None:
    encoder, decoder = FieldEncoder(), Decoder()
    path = NeverIndexedHeaderTuple(b":path", b"/3/device/00ff")

    blocks = [encoder.encode([path]) for _ in range(2)]

    assert blocks[0] == blocks[1]
    assert blocks[0][0] & 0xF0 == 0x10
    decoder.decode(blocks[0], raw=True)
    assert len(decoder.header_table.dynamic_entries) == 0


def test_table_that_is_full_begins_anew_and_never_grows() -> None:
    encoder, decoder = FieldEncoder(), Decoder()
    topic = HeaderTuple(b"apns-topic", b"com.example.app")
    for number in range(1000):
        expires = HeaderTuple(b"apns-expiration", str(number).encode())

        decoder.decode(encoder.encode([topic, expires]), raw=True)

        assert encoder._used <= 4096
    assert len(encoder.encode([topic])) == 1


@pytest.mark.parametrize("size", [0, 40])
def test_small_table_of_the_peer_is_heeded(size: int) -> None:
    encoder, decoder = FieldEncoder(), Decoder()
    field = HeaderTuple(b"apns-topic", b"com.example.app")
    decoder.decode(encoder.encode([field]), raw=True)
    encoder.header_table_size = size
    decoder.max_allowed_table_size = size

    for _ in range(3):
        assert decoder.decode(encoder.encode([field]), raw=True) == [tuple(field)]
