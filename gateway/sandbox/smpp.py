"""A message centre of SMPP 3.4, as it looks from outside.

SMPP Protocol Specification v3.4, https://smpp.org/SMPP_v3_4_Issue1_2.pdf; receipts as in its
appendix B. Magic numbers: `magic.PHONES`. Receipts go to any bind of the account that receives, and
come again until they are taken.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import ClassVar, Literal, TypeAlias, Unpack

from gateway.model import wire
from gateway.sandbox import base, certificate, smpp_wire
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import ORDINARY, PHONES, Fate, Magic
from gateway.sandbox.smpp_outbox import Delivery, Outbox
from gateway.sandbox.smpp_session import Session

#: What it is built with unless told otherwise.
SYSTEM_ID, PASSWORD = "sandbox", "password"

#: The status of each fate.
_STATUSES: Mapping[Fate, str] = {
    Fate.TEMPORARY: "RSYSERR",
    Fate.THROTTLED: "RTHROTTLED",
    Fate.PERMANENT: "RX_R_APPN",
    Fate.RECIPIENT: "RINVDSTADR",
    Fate.CREDENTIAL: "RPROHIBITED",
}

#: Word, number (§5.2.28) and `err` of each last event; others are UNKNOWN.
_STATES: Mapping[wire.ReceiptEvent, tuple[str, int, str]] = {
    wire.ReceiptEvent.SENT: ("ACCEPTD", 6, "000"),
    wire.ReceiptEvent.DELIVERED: ("DELIVRD", 2, "000"),
    wire.ReceiptEvent.EXPIRED: ("EXPIRED", 3, "027"),
    wire.ReceiptEvent.FAILED: ("UNDELIV", 5, "001"),
    wire.ReceiptEvent.OPTED_OUT: ("REJECTD", 8, "0C1"),
}

#: What receipts say a message by, and whether they name it as the answer did.
Form: TypeAlias = Literal["both", "text", "parameters"]
Ids: TypeAlias = Literal["equal", "decimal_receipts", "hex_receipts"]


class SmppSimulator(base.Simulator):
    """Takes messages of one account, and reports on them."""

    kind: ClassVar[str] = "smpp"
    scheme: ClassVar[str] = "smpp"

    def __init__(
        self,
        *,
        system_id: str = SYSTEM_ID,
        password: str = PASSWORD,
        window: int = 0,
        binds: int = 0,
        security: Literal["none", "tls"] = "none",
        receipt_form: Form = "both",
        message_ids: Ids = "equal",
        **options: Unpack[base.Options],
    ) -> None:
        """window: unanswered submits of a bind; binds: of the account; 0: no limit.

        message_ids: how ids in receipts relate to those in answers.
        """
        super().__init__(**options)
        self.system_id = system_id
        self.password = password
        self.window = window
        self.binds = binds
        self.security = security
        self.sessions: set[Session] = set()
        #: what clients must trust, once it is entered; None without TLS
        self.certificate: certificate.Certificate | None = None
        self._form = receipt_form
        self._ids = message_ids

    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        self.outbox = Outbox(self._receivers, lambda: self.knobs.receipt_retry_delay)
        stack.callback(self.outbox.close)
        if self.security == "tls":
            self.certificate = certificate.self_signed()
            self._tls = self.certificate.context
        return lambda: Session(self)

    def _drop_connections(self) -> None:
        for session in tuple(self.sessions):
            session.abort()

    def _on_turn(self, name: str) -> None:
        super()._on_turn(name)
        if name == "hang" and not self.knobs.hang:
            for session in tuple(self.sessions):
                if session.has_hung:
                    session.abort()

    def _receivers(self) -> Iterator[Session]:
        return (session for session in self.sessions if session.receives)

    def write(self, source: str, to: str, text: str) -> None:
        """Somebody writes to a number of the client; plain ASCII."""
        self.outbox.schedule(
            0.0,
            smpp_wire.deliver_body(
                source=source, to=to, esm_class=0, message=text.encode("ascii"), parameters={}
            ),
        )

    # what sessions ask

    @property
    def is_silent(self) -> bool:
        if self.knobs.hang:
            for session in self.sessions:
                session.has_hung = True
        return self.knobs.hang

    def may_bind(self) -> bool:
        return not self.binds or sum(bool(one.mode) for one in self.sessions) < self.binds

    def bound(self) -> None:
        self.outbox.serve()

    def answered(self, delivery: Delivery, status: int) -> None:
        self.outbox.answered(delivery, status)

    def lost(self, session: Session) -> None:
        deliveries = list(session.unanswered.values())
        session.unanswered.clear()
        self.outbox.lost(deliveries)

    def submitted(self, session: Session, sequence: int, body: bytes) -> None:
        """Answer it, when that is due; take it, if so."""
        at = self.now()
        try:
            one = smpp_wire.read_submit(body)
        except smpp_wire.Refused as refused:
            session.answer_submit(sequence, refused.status)
            return
        if status := smpp_wire.fault(one):
            self._record(one, at=at, fate=Fate.INVALID, answer=status)
            session.answer_submit(sequence, status)
            return
        magic = PHONES.get(f"+{one.to}", ORDINARY)
        fate = self.judge.decide(magic)
        number = uuid.uuid4().int >> 68  # 60 bits: 15 digits of hexadecimal, 18 of decimal
        taken = fate in (Fate.TAKEN, Fate.LOST)
        answered, reported = self._names(number)
        status = _STATUSES.get(fate, "ROK")
        self._record(one, at=at, fate=fate, answer=status, id_=answered if taken else "")
        if taken:
            self._report(one, reported, magic)
        self._conclude(session, fate, sequence, status, answered)

    def _names(self, number: int) -> tuple[str, str]:
        """The id of a message in its answer and in its receipts."""
        in_hex, in_decimal = f"{number:015x}", str(number)
        if self._ids == "equal":
            return in_hex, in_hex
        return (in_hex, in_decimal) if self._ids == "decimal_receipts" else (in_decimal, in_hex)

    def _conclude(self, session: Session, fate: Fate, sequence: int, status: str, id_: str) -> None:
        if fate is Fate.HUNG:
            session.has_hung = True
            return

        def answer() -> None:
            if fate is Fate.LOST:
                session.abort()
            else:
                session.answer_submit(sequence, status, id_)

        if (wait := self.judge.latency()) > 0:
            asyncio.get_running_loop().call_later(wait, answer)
        else:
            answer()

    def _record(
        self, one: smpp_wire.Submitted, *, at: float, fate: Fate, answer: str, id_: str = ""
    ) -> None:
        reference, total, number = one.part
        content = {
            "from": one.source,
            "text": one.text,
            "data_coding": one.data_coding,
            "validity_period": one.validity,
            "part": [reference, total, number],
        }
        self.log.add(
            Arrival(
                at=at,
                id=id_,
                reference=find_reference(one.text),
                to=f"+{one.to}",
                fate=fate,
                answer=answer,
                content=content,
            )
        )

    def _report(self, one: smpp_wire.Submitted, id_: str, magic: Magic) -> None:
        """registered_delivery: 1 for every end, 2 for bad ones (§5.2.17)."""
        wanted = one.registered_delivery & 3
        event = self.judge.receipt(magic) if wanted in (1, 2) else None
        if event is None or (wanted == 2 and event is wire.ReceiptEvent.DELIVERED):
            return
        body = self._receipt(one, id_, event)
        delay = self.judge.receipt_delay()
        for _ in range(1 + self.knobs.receipt_repeats):
            self.outbox.schedule(delay, body)

    def _receipt(self, one: smpp_wire.Submitted, id_: str, event: wire.ReceiptEvent) -> bytes:
        word, number, error = _STATES.get(event, ("UNKNOWN", 7, "000"))
        delivered = int(event is wire.ReceiptEvent.DELIVERED)
        date = time.strftime("%y%m%d%H%M", time.gmtime())
        quoted = one.text[:20].encode("ascii", "replace").decode()
        text = (
            f"id:{id_} sub:001 dlvrd:{delivered:03} submit date:{date} done date:{date} "
            f"stat:{word} err:{error} text:{quoted}"
        )
        parameters = {
            smpp_wire.RECEIPTED_ID: smpp_wire.c_string(id_),
            smpp_wire.STATE: bytes((number,)),
        }
        return smpp_wire.deliver_body(
            source=one.to,
            to=one.source,
            esm_class=0x04,
            message=b"" if self._form == "parameters" else text.encode("ascii"),
            parameters={} if self._form == "text" else parameters,
        )
