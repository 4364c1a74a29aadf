"""What a message centre's answers and receipts mean: command_status, message states, receipt texts.

SMPP Protocol Specification v3.4 §5.1.3 (command_status), §5.2.28 (message_state), appendix B (text
of receipts, which is a custom and not a rule): https://smpp.org/SMPP_v3_4_Issue1_2.pdf. Codes from
100 on come from version 5.0 and are seen from newer servers.
"""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from gateway.model import errors, smpp, wire
from gateway.model.values import replace

#: What a status can be said to mean in the settings.
Meaning: TypeAlias = Literal[
    "throttled", "temporary", "credential", "recipient", "sender", "message"
]

#: How ids of receipts relate to those of answers.
Ids: TypeAlias = Literal["equal", "decimal_receipts", "hex_receipts"]

MEANINGS: Mapping[str, wire.Rejected | wire.Deferred] = {
    "throttled": wire.Deferred(code="", cause=wire.Cause.THROTTLED),
    "temporary": wire.Deferred(code=""),
    "session": wire.Deferred(code="", cause=wire.Cause.CONNECT),
    "credential": wire.Deferred(code="", cause=wire.Cause.CREDENTIAL),
    "recipient": wire.Rejected(code="", scope=wire.Scope.RECIPIENT),
    "sender": wire.Rejected(code="", scope=wire.Scope.PROVIDER),
    "message": wire.Rejected(code=""),
}

# §5.1.3, by what they mean to us; the last line is about our own PDU.
_STATUSES: Mapping[str, str] = {
    "throttled": "14 RMSGQFUL 58 RTHROTTLED",
    "temporary": "08 RSYSERR 45 RSUBMITFAIL 64 RX_T_APPN FE RDELIVERYFAILURE FF RUNKNOWNERR "
    "102 RSERTYPUNAVAIL",
    "session": "04 RINVBNDSTS 05 RALYBND 0D RBINDFAIL",
    "credential": "0E RINVPASWD 0F RINVSYSID 53 RINVSYSTYP 100 RSERTYPUNAUTH 101 RPROHIBITED",
    "recipient": "0B RINVDSTADR 50 RINVDSTTON 51 RINVDSTNPI",
    "message": "01 RINVMSGLEN 06 RINVPRTFLG 07 RINVREGDLVFLG 15 RINVSERTYP 43 RINVESMCLASS "
    "44 RCNTSUBDL 54 RINVREPFLAG 55 RINVNUMMSGS 61 RINVSCHED 62 RINVEXPIRY 63 RINVDFTMSGID "
    "65 RX_P_APPN 66 RX_R_APPN C0 RINVOPTPARSTREAM C1 ROPTPARNOTALLWD C2 RINVPARLEN "
    "C3 RMISSINGOPTPARAM C4 RINVOPTPARAMVAL 103 RSERTYPDENIED 104 RINVDCS",
    "sender": "0A RINVSRCADR 48 RINVSRCTON 49 RINVSRCNPI 02 RINVCMDLEN 03 RINVCMDID",
}


def code(status: int) -> str:
    return f"0x{status:02x}"


def _named(pairs: str) -> list[tuple[int, str]]:
    words = pairs.split()
    return [(int(hex_, 16), name) for hex_, name in zip(words[::2], words[1::2], strict=True)]


RESULTS: Mapping[int, wire.Rejected | wire.Deferred] = {
    status: replace(MEANINGS[meaning], code=code(status), detail=name)
    for meaning, pairs in _STATUSES.items()
    for status, name in _named(pairs)
}

#: Anything else, vendors' 400 to 4FF included, is a definite refusal.
_OTHER = MEANINGS["message"]


def result(answer: smpp.Answer, meanings: Mapping[int, str]) -> wire.AttemptResult:
    """The result of an answer without its id. meanings: the operator's own, of `Meaning`."""
    status = answer.status
    if status == smpp.OK:
        return wire.Accepted(provider_id=answer.message_id)
    if status in meanings:
        meant = replace(MEANINGS[meanings[status]], code=code(status))
    else:
        meant = RESULTS.get(status) or replace(_OTHER, code=code(status))
    if answer.at_bind and isinstance(meant, wire.Rejected):
        return wire.Deferred(code=meant.code, detail=meant.detail, cause=wire.Cause.CONNECT)
    return meant


_SENT, _FAILED = wire.ReceiptEvent.SENT, wire.ReceiptEvent.FAILED
_DELIVERED, _EXPIRED = wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.EXPIRED

#: §5.2.28; by its number, and by the word of a receipt's text in full or as appendix B cuts it.
STATES: Mapping[int, tuple[str, wire.ReceiptEvent]] = {
    1: ("ENROUTE", _SENT),
    2: ("DELIVRD", _DELIVERED),
    3: ("EXPIRED", _EXPIRED),
    4: ("DELETED", _FAILED),
    5: ("UNDELIV", _FAILED),
    6: ("ACCEPTD", _SENT),
    7: ("UNKNOWN", wire.ReceiptEvent.UNKNOWN),
    8: ("REJECTD", _FAILED),
}
WORDS: Mapping[str, wire.ReceiptEvent] = dict(STATES.values()) | {
    "DELIVERED": _DELIVERED,
    "UNDELIVERABLE": _FAILED,
    "ACCEPTED": _SENT,
    "REJECTED": _FAILED,
}

#: Longest text of a receipt that is looked at, and longest value that is believed.
_MOST_TEXT, _MOST_VALUE = 1000, 64

_NAMES = r"id|sub|dlvrd|submit date|done date|stat|err"
_TEXT = re.compile(r"(?:^|\s)text\s?:", re.IGNORECASE)
_FIELD = re.compile(rf"(?:^|\s)({_NAMES})\s?:\s?(?!(?:{_NAMES})\s?:)(\S*)", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{10}(?:[0-9]{2})?")


class Report(NamedTuple):
    """What a receipt says, as it says it; absent values are empty."""

    #: of the optional parameter, which wins, and of the text
    id_parameter: str
    id_text: str
    #: a word of `WORDS`, or one of the operator's own
    state: str
    error: str
    #: YYMMDDhhmm, perhaps with seconds, in the operator's zone
    done: str


def read_report(delivery: smpp.Delivery) -> Report:
    """Raises UnreadableReceipt when it names no message."""
    fields = _fields(_text(delivery))
    number = delivery.parameters.get(smpp.MESSAGE_STATE, b"")
    word, _ = STATES.get(number[0], ("", _SENT)) if len(number) == 1 else ("", _SENT)
    raw = delivery.parameters.get(smpp.RECEIPTED_MESSAGE_ID, b"")[: _MOST_VALUE + 1]
    done = fields.get("done date", "")
    report = Report(
        id_parameter=raw.partition(b"\0")[0].decode("latin-1").strip(),
        id_text=fields.get("id", ""),
        state=word or fields.get("stat", "").upper(),
        error=fields.get("err", "") or _network_error(delivery),
        done=done if _DATE.fullmatch(done) else "",
    )
    if not report.id_parameter and not report.id_text:
        raise errors.UnreadableReceipt("a receipt that names no message")
    return report


def _text(delivery: smpp.Delivery) -> str:
    """Up to what it quotes of our message, which may hold anything."""
    octets = delivery.message[: 2 * _MOST_TEXT]
    if delivery.data_coding == 8 and octets[:1] == b"\0":  # some say so of plain ASCII
        text = octets.decode("utf-16-be", "replace")
    else:
        text = octets.decode("latin-1")
    return _TEXT.split(text[:_MOST_TEXT], maxsplit=1)[0]


def _fields(text: str) -> dict[str, str]:
    """By name in lower case; of a name that occurs twice, the first."""
    found: dict[str, str] = {}
    for match in _FIELD.finditer(text):
        found.setdefault(match[1].lower(), match[2][:_MOST_VALUE])
    return found


def _network_error(delivery: smpp.Delivery) -> str:
    """§5.3.2.31: a type of network and a code."""
    value = delivery.parameters.get(smpp.NETWORK_ERROR_CODE, b"")
    return f"{value[0]}/{int.from_bytes(value[1:], 'big')}" if len(value) == 3 else ""


def bare(id_: str) -> str:
    """As ids are compared: in upper case, without leading zeros."""
    id_ = id_.strip().upper()
    return id_.lstrip("0") or id_[:1]


def name(report: Report, ids: Ids) -> str:
    """The id of the message as its answer had it, made bare."""
    text = _translated(report.id_text, ids)
    # The parameter wins. It may be as in the answer, and only the text translated.
    if not report.id_parameter or bare(report.id_parameter) == text:
        return text
    return _translated(report.id_parameter, ids)


def _translated(id_: str, ids: Ids) -> str:
    """One that is no such number stays as it is."""
    if ids == "decimal_receipts" and re.fullmatch(r"[0-9]+", id_):
        return f"{int(id_):X}"
    if ids == "hex_receipts" and re.fullmatch(r"[0-9a-fA-F]+", id_):
        return str(int(id_, 16))
    return bare(id_)
