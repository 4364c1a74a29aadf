"""How an SMPP transport binds, what it bounds, and how long it waits."""

from dataclasses import dataclass
from typing import Literal

from gateway.model import errors
from gateway.transport.smpp_pdu import Bind


class WindowFull(errors.NotSent):
    """The centre answers more slowly than it is sent to: a limit, and not a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmppOptions:
    """One account at one message centre. Durations in seconds."""

    #: of the account, for the log
    name: str = ""
    host: str
    port: int
    #: where receivers bind, if not to `port`
    receiver_port: int = 0
    bind: Bind
    #: binds that carry both ways, or as many pairs of a transmitter and a receiver
    mode: Literal["transceiver", "pair"] = "transceiver"
    binds: int = 1
    #: submit_sm sent on one bind and not answered
    window: int = 10
    #: TLS from the first octet
    tls: bool = False
    #: file of authorities; empty: the system's
    ca_file: str = ""
    #: for TCP and TLS, and again for the answer to the bind (session_init_timer)
    bind_timeout: float = 30.0
    #: silence after which the link is enquired; 0: never (enquire_link_timer)
    enquire_link: float = 30.0
    #: silence after which the connection is given up, enquired or not (inactivity_timer)
    inactivity_timeout: float = 300.0
    #: for any other answer (response_timer)
    response_timeout: float = 60.0
    #: longest wait between two tries to bind
    reconnect: float = 30.0
