"""A text as one or several submit_sm, and the text of a deliver_sm.

SMPP Protocol Specification v3.4 §5.2.19 (data_coding), §5.3.2.22 to .24 (sar), .32 (payload):
https://smpp.org/SMPP_v3_4_Issue1_2.pdf; 3GPP TS 23.040 §9.2.3.24.1 and .8 (headers of parts).
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from gateway.content import gsm, sms
from gateway.model import smpp
from gateway.model.values import replace

#: What a centre takes data_coding 0 for: GSM 7 bit, one septet an octet or packed, or 8 bit.
Alphabet: TypeAlias = Literal["gsm7", "gsm7_packed", "latin1", "ascii"]
#: How it is told of a long message.
Way: TypeAlias = Literal["udh", "udh16", "sar", "payload"]

_DEFAULT, _UCS2 = 0, 8

#: How incoming text is read; what is not here and not 0 is binary.
_CODECS: Mapping[int, str] = {
    1: "ascii",
    3: "latin-1",
    5: "iso2022_jp",
    6: "iso8859-5",
    7: "iso8859-8",
    8: "utf-16-be",
    14: "euc_kr",
}
_EIGHT_BIT: Mapping[Alphabet, str] = {"latin1": "latin-1", "ascii": "ascii"}

#: Septets and 16-bit units of a lone message, and of a part: 140 octets less the header.
_LONE, _PART, _PART_16 = (160, 70), (153, 67), (152, 66)

#: Parts are counted in one octet.
_MOST_PARTS = 255

#: Of message_payload, so that the whole PDU stays within what is read.
_MOST_PAYLOAD = 60_000


def parts(
    whole: smpp.Submit, text: str, reference: str, *, alphabet: Alphabet, way: Way
) -> Sequence[smpp.Submit]:
    """`whole` with the text, in as many as it takes. Raises ValueError when it is too long.

    reference: unique to the message; parts are put together by a short hash of it, so that the
    same message sent again is not taken for another.
    """
    measured = sms.measure(text)
    is_gsm = _is_default(text, measured, alphabet)
    column = 0 if is_gsm else 1
    units = measured.units if measured.alphabet is not sms.Alphabet.GSM7 or is_gsm else len(text)
    coding = _DEFAULT if is_gsm else _UCS2
    if units <= _LONE[column]:
        octets = _encode(text, alphabet, is_gsm=is_gsm)
        return [replace(whole, data_coding=coding, short_message=octets)]
    whole = replace(whole, data_coding=coding)
    if way == "payload":
        return [_payload(whole, _encode(text, alphabet, is_gsm=is_gsm))]
    limit = (_PART_16 if way == "udh16" else _PART)[column]
    pieces = gsm.cut(text, limit, is_gsm=is_gsm)
    if len(pieces) > _MOST_PARTS:
        raise ValueError("text: more than 255 parts")
    number = zlib.crc32(reference.encode())
    return [
        _part(whole, piece, (number, len(pieces), at), alphabet=alphabet, way=way)
        for at, piece in enumerate(pieces, 1)
    ]


def _is_default(text: str, measured: sms.SmsText, alphabet: Alphabet) -> bool:
    """Whether data_coding 0 will do; what the phone gets in septets is within both alphabets."""
    if measured.alphabet is not sms.Alphabet.GSM7:
        return False
    codec = _EIGHT_BIT.get(alphabet)
    if codec is None:
        return True
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _encode(text: str, alphabet: Alphabet, *, is_gsm: bool, after: int = 0) -> bytes:
    """after: octets of the header that stands before it."""
    if not is_gsm:
        return text.encode("utf-16-be", "replace")
    if codec := _EIGHT_BIT.get(alphabet):
        return text.encode(codec)
    septets = gsm.encode(text)
    return gsm.pack(septets, after=after) if alphabet == "gsm7_packed" else septets


def _payload(whole: smpp.Submit, octets: bytes) -> smpp.Submit:
    if len(octets) > _MOST_PAYLOAD:
        raise ValueError(f"text: more than {_MOST_PAYLOAD} octets")
    return replace(whole, parameters={smpp.MESSAGE_PAYLOAD: octets})


def _part(
    whole: smpp.Submit, text: str, place: tuple[int, int, int], *, alphabet: Alphabet, way: Way
) -> smpp.Submit:
    """place: reference, total, number from 1."""
    reference, total, number = place
    is_gsm = whole.data_coding == _DEFAULT
    if way == "sar":
        parameters = {
            smpp.SAR_MSG_REF_NUM: (reference & 0xFFFF).to_bytes(2, "big"),
            smpp.SAR_TOTAL_SEGMENTS: bytes((total,)),
            smpp.SAR_SEGMENT_SEQNUM: bytes((number,)),
        }
        octets = _encode(text, alphabet, is_gsm=is_gsm)
        return replace(whole, short_message=octets, parameters=parameters)
    if way == "udh16":
        head = b"\x06\x08\x04" + (reference & 0xFFFF).to_bytes(2, "big")
    else:
        head = b"\x05\x00\x03" + bytes((reference & 0xFF,))
    head += bytes((total, number))
    octets = head + _encode(text, alphabet, is_gsm=is_gsm, after=len(head))
    return replace(whole, esm_class=whole.esm_class | smpp.UDHI, short_message=octets)


def read(delivery: smpp.Delivery, alphabet: Alphabet) -> str:
    """What somebody wrote; a part of a long message by itself, binary as nothing.

    Packed septets are not unpacked: centres that want them packed deliver them unpacked, as far as
    is known.
    """
    octets = delivery.message
    if delivery.esm_class & smpp.UDHI and octets:
        octets = octets[1 + octets[0] :]
    if delivery.data_coding != _DEFAULT:
        codec = _CODECS.get(delivery.data_coding)
        return "" if codec is None else octets.decode(codec, "replace")
    eight_bit = _EIGHT_BIT.get(alphabet)
    return octets.decode(eight_bit, "replace") if eight_bit else gsm.decode(octets)
