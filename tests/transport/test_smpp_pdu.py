"""PDUs octet by octet, and against two codecs that others wrote."""

from typing import Any

import pytest
import smpp34
import smpplib.client
import smpplib.smpp
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import smpp
from gateway.transport import smpp_pdu

BIND = (
    "00000022 00000009 00000000 00000001 65736d653100 73656372657400 00 34 00 00 00",
    smpp_pdu.Bind(system_id="esme1", password="secret"),
)
SUBMIT = (
    "00000036 00000004 00000000 00000002 00 05 00 41636d6500 01 01 34343737303039303030303000"
    "00 00 00 00 00 01 00 00 00 05 48656c6c6f"
)
RECEIPT = (
    "000000b0 00000005 00000000 00000001 00 01 01 34343737303039303030303000 05 00 41636d6500"
    "04 00 00 00 00 00 00 00 00 6b"
    "69643a30313233343536373839207375623a30303120646c7672643a303031207375626d697420646174653a"
    "3236303130323033303420646f6e6520646174653a3236303130323033303520737461743a44454c49565244"
    "206572723a30303020746578743a48656c6c6f 001e000b 3031323334353637383900 0427 0001 02"
)


def submit(**changes: Any) -> smpp.Submit:
    fields: dict[str, Any] = {
        "source": "Acme",
        "source_ton": 5,
        "destination": "447700900000",
        "registered_delivery": 1,
        "short_message": b"Hello",
    }
    return smpp.Submit(**{**fields, **changes})


def read(octets: bytes) -> smpp.Delivery:
    _, command, status, sequence = smpp_pdu.read_header(octets)
    return smpp_pdu.read_delivery(smpp_pdu.Pdu(command, status, sequence, octets[16:]))


def test_bind_is_written_octet_by_octet() -> None:
    octets, bind = BIND

    body = smpp_pdu.body_of_bind(bind)

    assert smpp_pdu.encode(smpp_pdu.BIND_TRANSCEIVER, 1, body) == bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("command", "sequence", "octets"),
    [
        (smpp_pdu.ENQUIRE_LINK, 7, "00000010 00000015 00000000 00000007"),
        (smpp_pdu.ENQUIRE_LINK | smpp_pdu.ANSWER, 7, "00000010 80000015 00000000 00000007"),
        (smpp_pdu.UNBIND, 8, "00000010 00000006 00000000 00000008"),
        (smpp_pdu.UNBIND | smpp_pdu.ANSWER, 8, "00000010 80000006 00000000 00000008"),
    ],
)
def test_pdus_without_a_body_are_headers(command: int, sequence: int, octets: str) -> None:
    assert smpp_pdu.encode(command, sequence) == bytes.fromhex(octets)


def test_submit_is_written_octet_by_octet() -> None:
    written = smpp_pdu.encode(smpp_pdu.SUBMIT_SM, 2, smpp_pdu.body_of_submit(submit()))

    assert written == bytes.fromhex(SUBMIT)


def test_answer_to_submit_gives_the_id() -> None:
    assert smpp_pdu.message_id(bytes.fromhex("3031323334353637383900")) == "0123456789"


@pytest.mark.parametrize(("body", "id_"), [(b"", ""), (b"\0", ""), (b"12", "12"), (b"1\0x", "1")])
def test_answer_with_an_odd_body_is_read_as_far_as_it_goes(body: bytes, id_: str) -> None:
    assert smpp_pdu.message_id(body) == id_


def test_receipt_is_read_with_its_parameters() -> None:
    delivery = read(bytes.fromhex(RECEIPT))

    assert (delivery.source, delivery.source_ton) == ("447700900000", 1)
    assert (delivery.destination, delivery.destination_ton) == ("Acme", 5)
    assert delivery.esm_class == 4
    assert delivery.message.startswith(b"id:0123456789 sub:001 dlvrd:001 submit date:2601020304")
    assert delivery.parameters == {
        smpp.RECEIPTED_MESSAGE_ID: b"0123456789\0",
        smpp.MESSAGE_STATE: b"\x02",
    }


def test_data_sm_carries_its_text_as_a_parameter() -> None:
    body = b"\0\x01\x01447700900000\0\x05\x00Acme\0\x04\x00\x00" + b"\x04\x24\x00\x02id"

    delivery = smpp_pdu.read_delivery(smpp_pdu.Pdu(smpp_pdu.DATA_SM, 0, 1, body))

    assert (delivery.esm_class, delivery.message) == (4, b"id")


def test_parameter_that_is_cut_off_is_left_out() -> None:
    octets = bytes.fromhex(RECEIPT)

    assert read(octets + b"\x14\x00\x00\x09abc").parameters == read(octets).parameters
    assert read(octets[:-1]).parameters == {smpp.RECEIPTED_MESSAGE_ID: b"0123456789\0"}


@pytest.mark.parametrize("length", range(5, 140, 3))
def test_body_that_ends_too_early_is_malformed(length: int) -> None:
    with pytest.raises(smpp_pdu.Malformed):
        read(bytes.fromhex(RECEIPT)[: 16 + length])


@given(st.binary(max_size=300), st.sampled_from([smpp_pdu.DELIVER_SM, smpp_pdu.DATA_SM]))
def test_any_body_is_read_or_malformed(body: bytes, command: int) -> None:
    try:
        smpp_pdu.read_delivery(smpp_pdu.Pdu(command, 0, 1, body))
    except smpp_pdu.Malformed:
        return


@pytest.mark.parametrize(
    "changes",
    [
        {"destination": "1" * 21},
        {"source": "a\0b"},
        {"source": "发送"},
        {"validity_period": "0" * 17},
        {"short_message": b"x" * 255},
        {"data_coding": 256},
        {"parameters": {smpp.MESSAGE_PAYLOAD: b"x" * 65536}},
    ],
)
def test_what_no_pdu_can_hold_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        smpp_pdu.body_of_submit(submit(**changes))


def test_password_is_not_printed() -> None:
    assert "secret" not in repr(BIND[1])


SUBMITS = st.builds(
    submit,
    source=st.text("abcXYZ 09", max_size=11),
    source_ton=st.integers(0, 6),
    source_npi=st.sampled_from([0, 1, 18]),
    destination=st.text("0123456789", min_size=1, max_size=20),
    esm_class=st.sampled_from([0, 0x40, 0x03]),
    data_coding=st.integers(0, 14),
    validity_period=st.sampled_from(["", "000000010000000R", "071226113703845+"]),
    short_message=st.binary(max_size=254),
    parameters=st.dictionaries(
        st.sampled_from([smpp.MESSAGE_PAYLOAD, smpp.SAR_MSG_REF_NUM]),
        st.binary(min_size=2, max_size=2),
    ),
)


@given(SUBMITS)
def test_another_codec_writes_the_same_octets(one: smpp.Submit) -> None:
    theirs = smpp34.SubmitSm(
        one.source,
        one.destination,
        one.short_message,
        source_addr_ton=one.source_ton,
        source_addr_npi=one.source_npi,
        dest_addr_ton=1,
        dest_addr_npi=1,
        esm_class=one.esm_class,
        data_coding=one.data_coding,
        validity_period=one.validity_period,
        registered_delivery=1,
        tlvs=[smpp34.Tlv(tag, value) for tag, value in one.parameters.items()],
        sequence_number=9,
    ).encode()

    assert smpp_pdu.encode(smpp_pdu.SUBMIT_SM, 9, smpp_pdu.body_of_submit(one)) == theirs


@given(SUBMITS)
def test_what_another_codec_writes_as_a_delivery_is_read(one: smpp.Submit) -> None:
    theirs = smpp34.DeliverSm(
        one.source,
        one.destination,
        one.short_message,
        source_addr_ton=one.source_ton,
        dest_addr_ton=1,
        esm_class=one.esm_class,
        data_coding=one.data_coding,
        tlvs=[smpp34.Tlv(tag, value) for tag, value in one.parameters.items()],
    ).encode()

    delivery = read(theirs)

    payload = one.parameters.get(smpp.MESSAGE_PAYLOAD, b"")
    assert (delivery.source, delivery.destination) == (one.source, one.destination)
    assert (delivery.esm_class, delivery.data_coding) == (one.esm_class, one.data_coding)
    assert delivery.message == (one.short_message or payload)
    assert delivery.parameters == one.parameters


def test_a_library_reads_what_is_written() -> None:
    octets = smpp_pdu.encode(
        smpp_pdu.SUBMIT_SM,
        2,
        smpp_pdu.body_of_submit(submit(validity_period="000000010000000R", service_type="CMT")),
    )

    client = smpplib.client.Client("localhost", 2775, allow_unknown_opt_params=True)
    theirs: Any = smpplib.smpp.parse_pdu(octets, client=client, allow_unknown_opt_params=True)

    assert (theirs.command, theirs.sequence) == ("submit_sm", 2)
    assert (theirs.source_addr, theirs.destination_addr) == (b"Acme", b"447700900000")
    assert (theirs.service_type, theirs.validity_period) == (b"CMT", b"000000010000000R")
    assert (theirs.registered_delivery, theirs.short_message) == (1, b"Hello")
