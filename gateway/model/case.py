"""What a decision about a message starts from (`Case`, `Claimed`) and what it does (`Transition`).

The store reads cases and writes transitions, whole and atomically; what belongs into a transition
is for `dispatch` to decide. A transition is refused when the message has changed since its case
was read, so a decision never rests on evidence that is out of date.
"""

from collections.abc import Mapping, Sequence

from gateway.model.message import Message, MessageId
from gateway.model.state import AttemptEvidence, ReceiptEvidence, State
from gateway.model.values import Value, field


class QueueRow(Value):
    """Work to put into the queue: one part of a step."""

    message: MessageId
    step: int
    part: int
    lane: str
    priority: int
    #: who shares the lane fairly, and its share
    flow: str
    weight: float
    #: UTC epoch milliseconds; in the past: ready at once
    due_ms: int
    expires_ms: int
    #: '' or the only provider account that may take it
    pin: str = ""
    attempts: int = 0
    units: int = 1
    #: at most once: claimed only when it can start at once
    once: bool = False
    #: number of the latest attempt
    epoch: int = 0
    #: ready at the lane's current virtual time, not at the end of its flow: for retries
    retry: bool = False


class LiveRow(Value, kw_only=False, array_like=True):
    """A row of the message that is in the queue."""

    step: int
    part: int
    claimed: bool
    due_ms: int
    epoch: int


class Case(Value):
    """One message with all that is known about it."""

    id: MessageId
    tenant: str
    internal: bool
    created_ms: int
    expires_ms: int
    message: Message
    state: State
    version: int
    redrive: int
    #: why it was given up, if it was
    ending: State | None
    live: Sequence[LiveRow]
    attempts: Sequence[AttemptEvidence]
    receipts: Sequence[ReceiptEvidence]


def shares(case: Case, receipt: ReceiptEvidence) -> int:
    """How many receipts like this one tell of the whole of an attempt, as far as is known."""
    if not receipt.segment:
        return 1
    where = (receipt.redrive, receipt.step, receipt.part)
    ours = [one.segments for one in case.attempts if (one.redrive, one.step, one.part) == where]
    return max(ours, default=1)


class Claimed(Value):
    """A queue row that this node holds, with its case."""

    case: Case
    step: int
    part: int
    lane: str
    pin: str
    priority: int
    rank: float
    flow: str
    weight: float
    due_ms: int
    #: tries that count, this one included
    attempts: int
    units: int
    once: bool
    #: number of this attempt, and the guard of its result
    epoch: int
    #: the account that it was claimed for; of an orphan, the one that may have sent it
    taker: str = ""


#: Code of an attempt whose claim was taken over from a process that died.
WRITTEN_OFF = "process_died"


class AttemptRecord(Value):
    """An attempt with what came of it, as it is kept."""

    evidence: AttemptEvidence
    code: str = ""
    detail: str = ""
    started_ms: int
    ended_ms: int


class ReceiptRecord(Value):
    """A receipt as it is kept."""

    evidence: ReceiptEvidence
    code: str = ""
    detail: str = ""
    at_ms: int


class EventRecord(Value):
    """A decision, and why."""

    at_ms: int
    event: str
    channel: str = ""
    provider: str = ""
    detail: str = ""


class Reference(Value):
    """A provider's id for one attempt."""

    provider: str
    reference: str
    redrive: int
    step: int
    part: int
    number: int


class Contact(Value):
    """Somebody whom an account may have written to, and who can answer."""

    provider: str
    #: of the address, keyed
    hash: str


class Guard(Value):
    """The claim that a transition ends; it must still be ours."""

    step: int
    part: int
    epoch: int


class NewMessage(Value):
    """A message to store, with its first queue rows."""

    id: MessageId
    tenant: str
    category: str
    internal: bool
    created_ms: int
    expires_ms: int
    #: model.message.encode
    body: str
    state: State
    rows: Sequence[QueueRow]
    #: events known from the start
    events: Sequence[EventRecord] = ()
    ending: State | None = None
    idempotency: "IdempotencyKey | None" = None
    dedupe: "DedupeKey | None" = None
    #: under which it takes the place of what has not left
    replaces: "ReplaceKey | None" = None
    #: the tenant's own id of whom it is for, by which it is found again; '' it names nobody
    recipient: str = ""
    #: what is told of a message that has ended before it began; stored if it is
    webhooks: Sequence["NewMessage"] = ()


class IdempotencyKey(Value):
    key: str
    #: of the request's body, to notice a key that is used for another
    fingerprint: str
    until_ms: int


class DedupeKey(Value):
    key: str
    until_ms: int
    #: the key holds for all tenants, and this is stored where another's message stands for it,
    #: whose id must not be told; None: it holds for the message's tenant alone
    shadow: NewMessage | None = None


class ReplaceKey(Value):
    key: str
    #: how long an earlier message may still be waiting
    until_ms: int


class Transition(Value):
    """One atomic change of a message: its evidence, queue rows, status, and what these cause."""

    message: MessageId
    #: when it was decided, UTC epoch milliseconds
    at_ms: int
    #: of the case that it was decided on
    version: int
    state: State
    redrive: int
    ending: State | None
    expires_ms: int
    guard: Guard | None = None
    attempts: Sequence[AttemptRecord] = ()
    receipts: Sequence[ReceiptRecord] = ()
    events: Sequence[EventRecord] = ()
    #: (step, part) of rows to drop; the guarded row is dropped unless it is put again
    drop: Sequence[tuple[int, int]] = ()
    put: Sequence[QueueRow] = ()
    references: Sequence[Reference] = ()
    #: whom the attempts were for, where they can answer
    contacts: Sequence[Contact] = ()
    #: our reports to the tenant
    webhooks: Sequence[NewMessage] = ()
    #: the message ended without success: the same content may be sent again
    free_dedupe: bool = False
    #: channels of which its uses of caps are given back; '' that of them all
    free_caps: Sequence[str] = ()
    #: it was told to wait for uses of others, which may have been given back meanwhile
    yields: bool = False
    #: those with the same are written together or not at all; '' by itself
    bundle: str = ""
    #: messages that come of it
    new: Sequence[NewMessage] = ()
    #: who has the places that it waits for under caps from now on; '' nobody
    caps_to: str = ""


class Reply(Value):
    """What a recipient wrote, and what it causes."""

    #: the account that brought it
    provider: str
    #: by which a second copy is known; '' where none can be told
    key: str
    #: how long a second copy may come
    until_ms: int
    at_ms: int
    #: who wrote it: channel and keyed hash of the address
    address: tuple[str, str]
    #: why the account must not write to them any more; '' no such wish
    ban: str = ""
    #: whether it may again
    lifts: bool = False
    #: our reports to the tenant
    webhooks: Sequence[NewMessage] = ()
    #: what they get back; None: nothing
    answer: "Answer | None" = None

    @property
    def caused(self) -> Sequence[NewMessage]:
        """All messages that it may cause."""
        return (*self.webhooks, self.answer.message) if self.answer else self.webhooks


class Answer(Value):
    """A message to who wrote, stored unless one of its key was within that time."""

    message: NewMessage
    key: str
    until_ms: int


class Parked(Value, kw_only=False):
    """Receipts for one attempt, found by its provider's id, as they are parked."""

    provider: str
    reference: str
    message: MessageId
    redrive: int
    step: int
    part: int
    number: int
    receipts: Sequence[Mapping[str, str]] = field(default_factory=list)
