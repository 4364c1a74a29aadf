"""What an SMPP provider and its transport speak: one short message out, its answer, what comes in.

SMPP Protocol Specification v3.4: submit_sm §4.4, deliver_sm §4.6, optional parameters §5.3.2.
"""

from collections.abc import Mapping

from gateway.model.values import Value, field

#: command_status of a request that was taken (§5.1.3).
OK = 0

#: Optional parameters that somebody here reads or writes (§5.3.2).
RECEIPTED_MESSAGE_ID = 0x001E
SAR_MSG_REF_NUM = 0x020C
SAR_TOTAL_SEGMENTS = 0x020E
SAR_SEGMENT_SEQNUM = 0x020F
NETWORK_ERROR_CODE = 0x0423
MESSAGE_PAYLOAD = 0x0424
MESSAGE_STATE = 0x0427

#: Bits of esm_class (§5.2.12): a User Data Header comes first; what kind of deliver_sm it is.
UDHI = 0x40
KIND = 0x3C


class Submit(Value):
    """One submit_sm: a whole message, or a part of a long one."""

    source: str
    source_ton: int = 0
    source_npi: int = 0
    #: digits, without `+`
    destination: str
    destination_ton: int = 1
    destination_npi: int = 1
    service_type: str = ""
    esm_class: int = 0
    #: 16 characters, or empty for the centre's own (§7.1.1)
    validity_period: str = ""
    registered_delivery: int = 0
    data_coding: int = 0
    #: at most 254 octets; empty with MESSAGE_PAYLOAD
    short_message: bytes = b""
    #: optional parameters by tag
    parameters: Mapping[int, bytes] = field(default_factory=dict)


class Answer(Value):
    """What the message centre said to a submit_sm, or to the bind that should have come first."""

    #: command_status
    status: int
    #: the centre's id of the message; empty when it gave none
    message_id: str = ""
    #: the session was refused: this message has not been sent
    at_bind: bool = False


class Delivery(Value):
    """One deliver_sm or data_sm: a receipt, or what somebody wrote."""

    #: of a receipt: the recipient of our message
    source: str
    source_ton: int = 0
    destination: str
    destination_ton: int = 0
    esm_class: int = 0
    data_coding: int = 0
    #: of short_message, or else of MESSAGE_PAYLOAD
    message: bytes = b""
    #: optional parameters by tag; of one that was repeated, the last
    parameters: Mapping[int, bytes] = field(default_factory=dict)
