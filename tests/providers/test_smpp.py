"""The SMPP provider: texts as PDUs, and what answers, receipts and incoming messages mean."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.content import gsm, sms
from gateway.model import errors, smpp, wire
from gateway.providers import smpp as provider_module
from gateway.providers import smpp_replies, smpp_text

Make = Callable[..., provider_module.Provider]
Message = Callable[..., wire.Message]

HERE = Path(__file__).parent / "smpp"
TO = wire.Address(phone="+447700900000")


def table(name: str) -> list[list[str]]:
    lines = (HERE / f"{name}.txt").read_text().splitlines()
    rows = [line.split("|", 4) for line in lines if not line.startswith("#")]
    return [[cell.strip(" ") for cell in row] for row in rows]


def build(make: Make, message: Message, text: str = "Hello", **named: Any) -> list[smpp.Submit]:
    fields: dict[str, Any] = {"to": TO, "content": wire.Content(text=text)}
    for key in ("to", "expires_at", "reference"):
        if key in named:
            fields[key] = named.pop(key)
    return list(make("smpp", **named).build_submits(message(**fields)))


def test_short_text_is_one_pdu(make: Make, message: Message) -> None:
    assert build(make, message) == [
        smpp.Submit(
            source="Acme",
            source_ton=5,
            source_npi=0,
            destination="447700900000",
            destination_ton=1,
            destination_npi=1,
            validity_period="000000000500000R",
            registered_delivery=1,
            data_coding=0,
            short_message=b"Hello",
        )
    ]


@pytest.mark.parametrize(
    ("sender", "ton", "npi", "address"),
    [
        ("Acme", 5, 0, "Acme"),
        ("Acme 24-7", 5, 0, "Acme 24-7"),
        ("+447700900123", 1, 1, "447700900123"),
        ("447700900123", 1, 1, "447700900123"),
        ("60606", 0, 1, "60606"),
        ("", 0, 0, ""),
    ],
)
def test_kind_of_sender_is_seen_from_its_form(
    make: Make, message: Message, sender: str, ton: int, npi: int, address: str
) -> None:
    [one] = build(make, message, changes={"from": sender})

    assert (one.source_ton, one.source_npi, one.source) == (ton, npi, address)


def test_kind_of_sender_can_be_said(make: Make, message: Message) -> None:
    [one] = build(make, message, changes={"from": "60606"}, from_ton=3, from_npi=0)

    assert (one.source_ton, one.source_npi) == (3, 0)


@pytest.mark.parametrize(
    "phone", ["", "+", "12", "+4477x", "+" + "1" * 21, "\uff14\uff14\uff17\uff17\uff10\uff10"]
)
def test_what_is_no_number_cannot_be_sent(make: Make, message: Message, phone: str) -> None:
    with pytest.raises(ValueError, match="phone"):
        build(make, message, to=wire.Address(phone=phone))


@pytest.mark.parametrize(
    ("validity", "seconds", "period"),
    [
        ("relative", 3600, "000000010000000R"),
        ("relative", 7 * 86400, "000007000000000R"),
        ("relative", 90061, "000001010101000R"),
        ("relative", -5, "000000000001000R"),
        ("relative", 400 * 86400, "000030000000000R"),
        ("absolute", 3600, "260301130000000+"),
        ("none", 3600, ""),
    ],
)
def test_centre_is_told_when_the_message_expires(
    make: Make, message: Message, now: datetime, validity: str, seconds: int, period: str
) -> None:
    expires_at = now + timedelta(seconds=seconds)

    [one] = build(make, message, validity=validity, expires_at=expires_at)

    assert one.validity_period == period


def test_receipts_are_asked_for_unless_told_otherwise(make: Make, message: Message) -> None:
    [without] = build(make, message, receipts=False)

    assert without.registered_delivery == 0
    assert make("smpp", receipts=False).reports == frozenset()
    assert make("smpp").reports == {wire.ReceiptEvent.DELIVERED}


@pytest.mark.parametrize(
    ("alphabet", "text", "coding", "octets"),
    [
        ("gsm7", "@€", 0, b"\x00\x1be"),
        ("gsm7", "中", 8, b"\x4e\x2d"),
        ("gsm7", "😀", 8, bytes.fromhex("d83dde00")),
        ("gsm7", "a`", 8, b"\0a\0`"),
        ("gsm7_packed", "hellohello", 0, bytes.fromhex("e8329bfd4697d9ec37")),
        ("latin1", "é@", 0, b"\xe9@"),
        ("latin1", "ê", 8, b"\x00\xea"),  # the phone could not show it
        ("latin1", "€", 8, b"\x20\xac"),
        ("ascii", "a@", 0, b"a@"),
        ("ascii", "é", 8, b"\x00\xe9"),
        ("gsm7", "\ud800", 8, b"\0?"),
    ],
)
def test_text_is_coded_as_the_centre_reads_it(
    make: Make, message: Message, alphabet: str, text: str, coding: int, octets: bytes
) -> None:
    [one] = build(make, message, text, alphabet=alphabet)

    assert (one.data_coding, one.short_message) == (coding, octets)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 160, [160]),
        ("a" * 161, [153, 8]),
        ("a" * 306, [153, 153]),
        ("a" * 307, [153, 153, 1]),
        ("€" * 80, [160]),
        ("€" * 81, [152, 10]),
        ("a" * 158 + "€", [160]),
        ("a" * 159 + "€", [153, 8]),
        ("a" * 152 + "€" + "a" * 151, [152, 153]),
        ("a" * 152 + "€" + "a" * 152, [152, 153, 1]),
        ("中" * 70, [140]),
        ("中" * 71, [134, 8]),
        ("😀" * 36, [132, 12]),
        ("中" * 66 + "😀" + "中" * 66, [132, 134, 2]),
        ("a" * 69 + "ç", [140]),
        ("a" * 70 + "\u2019", [134, 8]),
    ],
)
def test_long_text_is_cut_between_characters(
    make: Make, message: Message, text: str, parts: list[int]
) -> None:
    submits = build(make, message, text)

    head = 6 if len(parts) > 1 else 0
    assert [len(one.short_message) - head for one in submits] == parts
    assert len(submits) == sms.count(text)


def test_parts_carry_a_header_of_one_reference(make: Make, message: Message) -> None:
    first, second = build(make, message, "中" * 71)

    reference = first.short_message[3]
    assert first.esm_class == second.esm_class == 0x40
    assert first.short_message[:8] == bytes((5, 0, 3, reference, 2, 1)) + b"\x4e\x2d"
    assert second.short_message == bytes((5, 0, 3, reference, 2, 2)) + b"\x4e\x2d" * 4
    assert len(first.short_message) == 140


def test_another_message_has_another_reference_and_the_same_again_has_its_own(
    make: Make, message: Message
) -> None:
    def number(reference: str) -> int:
        return build(make, message, "a" * 200, reference=reference)[0].short_message[3]

    assert number("0-0-0-0") == number("0-0-0-0")
    assert len({number(f"{at}-0-0-0") for at in range(100)}) > 50


def test_reference_of_16_bits_leaves_room_for_152_septets(make: Make, message: Message) -> None:
    first, second = build(make, message, "a" * 161, long_messages="udh16")

    assert first.short_message[:3] == second.short_message[:3] == b"\x06\x08\x04"
    assert first.short_message[3:5] == second.short_message[3:5]
    assert first.short_message[5:7] == b"\x02\x01"
    assert (len(first.short_message), len(second.short_message)) == (159, 16)


def test_parts_may_be_told_by_parameters(make: Make, message: Message) -> None:
    first, second = build(make, message, "a" * 161, long_messages="sar")

    assert (first.esm_class, first.short_message) == (0, b"a" * 153)
    assert second.short_message == b"a" * 8
    assert first.parameters[smpp.SAR_MSG_REF_NUM] == second.parameters[smpp.SAR_MSG_REF_NUM]
    assert len(first.parameters[smpp.SAR_MSG_REF_NUM]) == 2
    assert [one.parameters[smpp.SAR_TOTAL_SEGMENTS] for one in (first, second)] == [b"\x02"] * 2
    assert [one.parameters[smpp.SAR_SEGMENT_SEQNUM] for one in (first, second)] == [
        b"\x01",
        b"\x02",
    ]


def test_centre_may_cut_the_text_itself(make: Make, message: Message) -> None:
    [one] = build(make, message, "中" * 100, long_messages="payload")
    [short] = build(make, message, "中" * 70, long_messages="payload")

    assert (one.short_message, one.esm_class) == (b"", 0)
    assert one.parameters == {smpp.MESSAGE_PAYLOAD: "中".encode("utf-16-be") * 100}
    assert not short.parameters


@pytest.mark.parametrize(("way", "text"), [("udh", "a" * 40_000), ("payload", "中" * 30_001)])
def test_text_that_is_too_long_cannot_be_sent(
    make: Make, message: Message, way: str, text: str
) -> None:
    with pytest.raises(ValueError, match="text: more than"):
        build(make, message, text, long_messages=way)


def test_packed_parts_fill_140_octets(make: Make, message: Message) -> None:
    first, _ = build(make, message, "a" * 161, alphabet="gsm7_packed")

    assert len(first.short_message) == 140


@given(st.text(max_size=500), st.sampled_from(["udh", "udh16", "sar", "payload"]))
def test_nothing_is_lost_between_the_parts(text: str, way: smpp_text.Way) -> None:
    whole = smpp.Submit(source="", destination="1")
    text = text.encode("utf-16-be", "replace").decode("utf-16-be")

    submits = smpp_text.parts(whole, text, "r", alphabet="gsm7", way=way)

    read = []
    for one in submits:
        octets = one.short_message or one.parameters.get(smpp.MESSAGE_PAYLOAD, b"")
        if one.esm_class & smpp.UDHI:
            octets = octets[1 + octets[0] :]
        read.append(gsm.decode(octets) if one.data_coding == 0 else octets.decode("utf-16-be"))
        assert len(one.short_message) <= 160
    assert "".join(read) == text


def test_statuses_mean_what_the_table_says(make: Make) -> None:
    provider = make("smpp")
    for meaning, codes in table("statuses"):
        for code in codes.split():
            result = provider.read_answer(smpp.Answer(status=int(code, 16)))

            assert isinstance(result, wire.Rejected | wire.Deferred)
            told = result.scope if isinstance(result, wire.Rejected) else result.cause
            assert told.name == meaning, code
            assert result.code == f"0x{int(code, 16):02x}"


def test_every_status_that_is_known_is_tried() -> None:
    tried = {int(code, 16) for _, codes in table("statuses") for code in codes.split()}

    assert set(smpp_replies.RESULTS) <= tried


def test_operators_own_statuses_win(make: Make) -> None:
    provider = make("smpp", statuses={"0x45": "recipient", "4A1": "throttled"})

    refused = provider.read_answer(smpp.Answer(status=0x45))
    throttled = provider.read_answer(smpp.Answer(status=0x4A1))

    assert refused == wire.Rejected(code="0x45", scope=wire.Scope.RECIPIENT)
    assert throttled == wire.Deferred(code="0x4a1", cause=wire.Cause.THROTTLED)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (0x0E, wire.Cause.CREDENTIAL),
        (0x0D, wire.Cause.CONNECT),
        (0x05, wire.Cause.CONNECT),
        (0x08, wire.Cause.TEMPORARY),
        (0x01, wire.Cause.CONNECT),
        (0x99, wire.Cause.CONNECT),
    ],
)
def test_refused_bind_rejects_no_message(make: Make, status: int, cause: wire.Cause) -> None:
    result = make("smpp").read_answer(smpp.Answer(status=status, at_bind=True))

    assert isinstance(result, wire.Deferred)
    assert result.cause is cause


@pytest.mark.parametrize(("id_", "kept"), [("00a1F", "A1F"), ("", ""), ("000", "0"), (" 7 ", "7")])
def test_accepted_message_has_its_id_as_it_is_compared(make: Make, id_: str, kept: str) -> None:
    result = make("smpp").read_answer(smpp.Answer(status=0, message_id=id_))

    assert result == wire.Accepted(provider_id=kept)


def delivery(text: str | bytes = b"", **fields: Any) -> smpp.Delivery:
    message = text if isinstance(text, bytes) else text.encode()
    known: dict[str, Any] = {"source": "447700900000", "source_ton": 1, "destination": "Acme"}
    return smpp.Delivery(message=message, **{**known, "esm_class": 4, **fields})


def read(provider: provider_module.Provider, one: smpp.Delivery) -> wire.DeliveryReceipt:
    receipt = provider.read_delivery(one)
    assert isinstance(receipt, wire.DeliveryReceipt)
    return receipt


@pytest.mark.parametrize(("id_", "event", "code", "coding", "text"), table("receipts"))
def test_receipts_are_read_in_all_their_spellings(
    make: Make, id_: str, event: str, code: str, coding: str, text: str
) -> None:
    receipt = read(make("smpp"), delivery(text, data_coding=int(coding)))

    assert (receipt.provider_id, receipt.event, receipt.code) == (id_, event, code)
    assert (receipt.detail, receipt.at) == ("", None)


def test_receipt_in_ucs2_is_read(make: Make) -> None:
    text = "id:5 stat:DELIVRD err:000 text:中".encode("utf-16-be")

    assert read(make("smpp"), delivery(text, data_coding=8)).provider_id == "5"


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (1, "sent"),
        (2, "delivered"),
        (3, "expired"),
        (4, "failed"),
        (5, "failed"),
        (6, "sent"),
        (7, "unknown"),
        (8, "failed"),
        (99, "unknown"),
    ],
)
def test_parameters_alone_are_a_receipt(make: Make, state: int, event: str) -> None:
    parameters = {smpp.RECEIPTED_MESSAGE_ID: b"00ab\0", smpp.MESSAGE_STATE: bytes((state,))}

    # some centres leave esm_class at 0
    for esm_class in (0x04, 0x20, 0):
        receipt = read(make("smpp"), delivery(parameters=parameters, esm_class=esm_class))

        assert (receipt.provider_id, receipt.event) == ("AB", event)


def test_parameters_win_over_the_text(make: Make) -> None:
    parameters = {
        smpp.RECEIPTED_MESSAGE_ID: b"12\0",
        smpp.MESSAGE_STATE: b"\x05",
        smpp.NETWORK_ERROR_CODE: b"\x03\x00\x1b",
    }

    receipt = read(make("smpp"), delivery("id:99 stat:DELIVRD", parameters=parameters))

    assert receipt == wire.DeliveryReceipt(
        event=wire.ReceiptEvent.FAILED,
        provider_id="12",
        code="UNDELIV 3/27",
        of_segment=True,
    )


@pytest.mark.parametrize(
    ("ids", "answered", "reported", "parameter"),
    [
        ("equal", "000123", "123", ""),
        ("equal", "ab12", "AB12", ""),
        ("decimal_receipts", "3ade68b1", "987654321", ""),
        ("decimal_receipts", "003ADE68B1", "0987654321", ""),
        ("decimal_receipts", "3ade68b1", "987654321", "3ADE68B1"),
        ("decimal_receipts", "3ade68b1", "", "987654321"),
        ("decimal_receipts", "3ade68b1", "987654321", "987654321"),
        ("hex_receipts", "987654321", "3ADE68B1", ""),
        ("hex_receipts", "0987654321", "003ade68b1", "987654321"),
        ("decimal_receipts", "not-a-number", "not-a-number", ""),
        ("hex_receipts", "not-a-number", "not-a-number", ""),
        ("decimal_receipts", "1_0", "1_0", ""),
    ],
)
def test_receipt_names_its_message_whatever_the_base(
    make: Make, ids: str, answered: str, reported: str, parameter: str
) -> None:
    provider = make("smpp", message_ids=ids)
    parameters = {smpp.RECEIPTED_MESSAGE_ID: parameter.encode() + b"\0"} if parameter else {}
    text = f"id:{reported} stat:DELIVRD" if reported else "stat:DELIVRD"

    taken = provider.read_answer(smpp.Answer(status=0, message_id=answered))
    receipt = read(provider, delivery(text, parameters=parameters))

    assert isinstance(taken, wire.Accepted)
    assert receipt.provider_id == taken.provider_id


@pytest.mark.parametrize(
    ("done", "at"),
    [
        ("2607010930", datetime(2026, 7, 1, 8, 30, tzinfo=UTC)),
        ("260701093059", datetime(2026, 7, 1, 8, 30, 59, tzinfo=UTC)),
        ("2613010930", None),
        ("today", None),
    ],
)
def test_date_is_read_in_the_operators_zone(make: Make, done: str, at: datetime | None) -> None:
    text = f"id:1 submit date:2607010900 done date:{done} stat:DELIVRD"

    assert read(make("smpp", zone="Europe/London"), delivery(text)).at == at


def test_operators_own_errors_say_more_of_a_failure(make: Make) -> None:
    provider = make("smpp", errors={"0c1": "opted_out"})

    refused = read(provider, delivery("id:1 stat:REJECTD err:0C1"))
    delivered = read(provider, delivery("id:1 stat:DELIVRD err:0C1"))
    other = read(provider, delivery("id:1 stat:REJECTD err:0C2"))

    assert [one.event for one in (refused, delivered, other)] == [
        "opted_out",
        "delivered",
        "failed",
    ]


def test_text_of_our_message_is_kept_out_of_sight(make: Make) -> None:
    receipt = read(make("smpp"), delivery("id:1 stat:UNDELIV err:001 text:+447700900000 4711"))

    assert "4711" not in repr(receipt)


@pytest.mark.parametrize(
    "text", [b"", b"stat:DELIVRD", b"\xff" * 200, b"id: stat:DELIVRD", b"text:id:1"]
)
def test_receipt_that_names_no_message_is_unreadable(make: Make, text: bytes) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        make("smpp").read_delivery(delivery(text))


def test_longest_text_is_read_in_no_time(make: Make) -> None:
    for text in (b"id:" * 21_000, b" id :" * 12_000, b"done date" * 7_000, b"id:1" + b" " * 60_000):
        try:
            make("smpp").read_delivery(delivery(text))
        except errors.UnreadableReceipt:
            continue


@pytest.mark.parametrize("esm_class", [0x08, 0x10, 0x18, 0x3C])
def test_acknowledgements_of_the_recipient_mean_nothing_to_us(make: Make, esm_class: int) -> None:
    assert make("smpp").read_delivery(delivery("x", esm_class=esm_class)) is None


@pytest.mark.parametrize(
    ("octets", "coding", "esm_class", "text"),
    [
        (b"STOP\x00", 0, 0, "STOP@"),
        ("停".encode("utf-16-be"), 8, 0, "停"),
        (b"caf\xe9", 3, 0, "café"),
        (b"\x05\x00\x03\x01\x02\x01Hi", 0, 0x40, "Hi"),
        (b"\x00\x01\xff", 4, 0, ""),
        (b"\x09", 0, 0x40, ""),
        (b"\x4e", 8, 0, "\ufffd"),
    ],
)
def test_what_somebody_wrote_is_read(
    make: Make, octets: bytes, coding: int, esm_class: int, text: str
) -> None:
    inbound = make("smpp").read_delivery(
        delivery(octets, data_coding=coding, esm_class=esm_class, destination="60606")
    )

    assert inbound == wire.InboundMessage(sender="+447700900000", to="60606", text=text)


@pytest.mark.parametrize(
    ("source", "ton", "country", "sender"),
    [
        ("447700900123", 1, "", "+447700900123"),
        ("447700900123", 1, "CN", "+447700900123"),
        ("+447700900123", 0, "GB", "+447700900123"),
        ("07700900123", 2, "GB", "+447700900123"),
        ("7700900123", 2, "GB", "+447700900123"),
        ("07700900123", 0, "GB", "+447700900123"),
        ("447700900123", 0, "GB", "+447700900123"),
        ("33612345678", 0, "GB", "+33612345678"),
        ("13800138000", 2, "CN", "+8613800138000"),
        ("008613800138000", 0, "CN", "+8613800138000"),
        ("07700900123", 2, "", "07700900123"),
        ("10086", 0, "CN", "10086"),
        ("60606", 3, "GB", "60606"),
        ("7700900123", 3, "GB", "7700900123"),
        ("Acme", 5, "GB", "Acme"),
        ("", 0, "GB", ""),
    ],
)
def test_who_wrote_is_known_by_their_number_in_full(
    make: Make, source: str, ton: int, country: str, sender: str
) -> None:
    written = smpp.Delivery(source=source, source_ton=ton, destination="60606", message=b"STOP")

    inbound = make("smpp", country=country).read_delivery(written)

    assert inbound == wire.InboundMessage(sender=sender, to="60606", text="STOP")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"country": "cn"}, "country"),
        ({"country": "86"}, "country"),
        ({"host": ""}, "host"),
        ({"system_id": ""}, "system_id"),
        ({"system_id": "x" * 16}, "system_id"),
        ({"password": "x" * 9}, "password"),
        ({"password": "pässword"}, "password"),
        ({"system_type": "x" * 13}, "system_type"),
        ({"address_range": "x" * 41}, "address_range"),
        ({"service_type": "x" * 6}, "service_type"),
        ({"from": "Twelve chars"}, "from"),
        ({"from": "Ümlaut"}, "from"),
        ({"from": "+" + "1" * 21}, "from"),
        ({"from_ton": 256}, "from_ton"),
        ({"port": 0}, "port"),
        ({"window": 0}, "window"),
        ({"binds": 0}, "binds"),
        ({"enquire_link": -1}, "enquire_link"),
        ({"response_timeout": 0}, "response_timeout"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "../etc/passwd"}, "zone"),
        ({"statuses": {"0xZZ": "message"}}, "statuses.0xZZ"),
        ({"statuses": {"0": "message"}}, "statuses.0"),
        ({"statuses": {"0x400": "nonsense"}}, "statuses.0x400"),
        ({"alphabet": "ebcdic"}, "alphabet"),
    ],
)
def test_settings_that_cannot_work_name_their_key(
    make: Make, changes: dict[str, Any], key: str
) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        make("smpp", changes)

    assert [fault.partition(": ")[0] for fault in caught.value.faults] == [f"providers.main.{key}"]


def test_settings_reach_the_transport(make: Make) -> None:
    options = make(
        "smpp", window=64, binds=2, bind="pair", security="tls", port=3550, response_timeout=5
    ).options

    assert (options.host, options.port, options.mode) == ("smsc.example.net", 3550, "pair")
    assert (options.window, options.binds, options.tls, options.response_timeout) == (
        64,
        2,
        True,
        5,
    )
    assert (options.bind.system_id, options.bind.password) == ("esme1", "secret")
    assert "secret" not in repr(options)
