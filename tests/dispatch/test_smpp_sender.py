"""SMPP: the parts of a message are one attempt, and receipts are stored before the answer."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.clock import LoopClock
from gateway.dispatch.smpp_sender import SmppSender
from gateway.metrics import Metrics
from gateway.model import smpp, wire
from gateway.model.errors import AnswerLost, NotSent, StoreUnavailable
from gateway.model.wire import ReceiptEvent
from gateway.providers import smpp as provider_module
from gateway.transport.base import Admit
from gateway.transport.smpp_options import WindowFull
from tests.dispatch.test_senders import send

CLOCK = LoopClock(datetime(2026, 3, 1, tzinfo=UTC))


def message(text: str = "hello", phone: str = "+447700900000") -> wire.Message:
    return wire.Message(
        id="m",
        reference="r1",
        channel=wire.Channel.SMS,
        category="otp",
        to=wire.Address(phone=phone),
        content=wire.Content(text=text),
        expires_at=datetime(2027, 1, 1, tzinfo=UTC),
    )


class Transport:
    """Answers from a script; raises what is an exception."""

    def __init__(self, *answers: smpp.Answer | Exception) -> None:
        self.answers = list(answers)
        self.submits: list[smpp.Submit] = []
        self.take: Callable[[Sequence[smpp.Delivery]], Any] | None = None

    async def send(
        self, submit: smpp.Submit, *, timeout: float, admit: Admit | None = None
    ) -> smpp.Answer:
        if admit is not None:
            await admit()
        self.submits.append(submit)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def begin(self, take: Callable[[Sequence[smpp.Delivery]], Any]) -> None:
        self.take = take


def taken(id_: str) -> smpp.Answer:
    return smpp.Answer(status=0, message_id=id_)


def sender(transport: Transport) -> SmppSender:
    settings = provider_module.Settings(host="localhost", system_id="esme1")
    provider = provider_module.Provider("main", settings, CLOCK)
    return SmppSender(provider, transport, Metrics(), timeout=5.0)


class Desk:
    """Keeps receipts as the store would."""

    def __init__(self) -> None:
        self.receipts: list[wire.DeliveryReceipt] = []
        self.heard: list[wire.InboundMessage] = []
        self.trouble: Exception | None = None
        #: what `hear` raises
        self.deafness: Exception | None = None

    async def file(self, account: str, receipts: Sequence[wire.DeliveryReceipt]) -> None:
        assert account == "main"
        if self.trouble is not None:
            raise self.trouble
        self.receipts.extend(receipts)

    async def hear(self, account: str, messages: Sequence[wire.InboundMessage]) -> None:
        assert account == "main"
        if self.deafness is not None:
            raise self.deafness
        self.heard.extend(messages)


def receipt(id_: str, stat: str = "DELIVRD") -> smpp.Delivery:
    text = f"id:{id_} stat:{stat} err:000".encode()
    return smpp.Delivery(source="447700900000", destination="x", esm_class=4, message=text)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (taken("7"), wire.Accepted(provider_id="7")),
        (
            smpp.Answer(status=0x58),
            wire.Deferred(code="0x58", detail="RTHROTTLED", cause=wire.Cause.THROTTLED),
        ),
        (
            smpp.Answer(status=0x0E, at_bind=True),
            wire.Deferred(code="0x0e", detail="RINVPASWD", cause=wire.Cause.CREDENTIAL),
        ),
        (WindowFull("window full"), wire.Deferred(code="window full", cause=wire.Cause.THROTTLED)),
        (NotSent("not bound"), wire.Deferred(code="not bound", cause=wire.Cause.CONNECT)),
        (AnswerLost("disconnected"), wire.Unknown(code="disconnected")),
        (ValueError("too long"), wire.Rejected(code="unfit", detail="too long")),
    ],
)
async def test_each_end_of_the_transport_becomes_a_result(
    answer: smpp.Answer | Exception, result: wire.AttemptResult
) -> None:
    assert await send(sender(Transport(answer)), [message()], None) == [result]


async def test_pdu_that_the_centre_cannot_read_is_an_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    [result] = await send(sender(Transport(smpp.Answer(status=0x03))), [message()], None)

    assert isinstance(result, wire.Rejected)
    assert "pdu_refused provider=main status=0x3" in caplog.text


def test_what_cannot_be_a_pdu_is_told_before_anything_is_sent() -> None:
    transport = Transport(taken("1"))

    with pytest.raises(ValueError, match="number"):
        sender(transport).plan([message(phone="?"), message()])

    assert transport.submits == []


async def test_parts_go_one_after_the_other_each_admitted_when_it_leaves() -> None:
    transport = Transport(taken("1"), taken("2"), taken("3"))
    asked: list[tuple[int, int]] = []

    async def admit(part: int = 0) -> None:
        asked.append((part, len(transport.submits)))

    await send(sender(transport), [message("x" * 400)], admit)

    assert asked == [(0, 0), (1, 1), (2, 2)]


async def test_call_says_how_many_parts_leave_one_by_one() -> None:
    [call] = sender(Transport()).plan([message("x" * 400)])

    assert call.parts == 3


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (smpp.Answer(status=0x58), wire.Unknown),
        (smpp.Answer(status=0x0B), wire.Rejected),
        (NotSent("disconnected"), wire.Unknown),
        (AnswerLost("disconnected"), wire.Unknown),
    ],
)
async def test_part_that_is_not_taken_decides_and_ends_the_attempt(
    second: smpp.Answer | Exception, kind: type
) -> None:
    transport = Transport(taken("1"), second)
    one, desk = sender(transport), Desk()
    one.begin(desk.file, desk.hear)

    [result] = await send(one, [message("x" * 400)], None)
    assert transport.take is not None
    await transport.take([receipt("1")])

    assert isinstance(result, kind)
    assert len(transport.submits) == 2
    # what is said of the first part is no more than that
    assert desk.receipts == [
        wire.DeliveryReceipt(
            event=ReceiptEvent.DELIVERED, provider_id="1", code="DELIVRD", of_segment=True
        )
    ]


async def test_receipt_tells_of_its_own_part() -> None:
    transport, desk = Transport(), Desk()
    sender(transport).begin(desk.file, desk.hear)
    assert transport.take is not None

    assert await transport.take([receipt("2")]) == [0]

    assert [(each.provider_id, each.of_segment) for each in desk.receipts] == [("2", True)]


@pytest.mark.parametrize(
    ("ids", "segments"),
    [
        (("1", "2", "3"), ("1", "2", "3")),
        (("1", "1", "1"), ()),  # one receipt for all
        (("", "", ""), ()),  # and none at all
        (("1", "", "3"), ("1", "3")),
    ],
)
async def test_ids_of_all_parts_are_kept(ids: tuple[str, ...], segments: tuple[str, ...]) -> None:
    transport = Transport(*map(taken, ids))

    [result] = await send(sender(transport), [message("x" * 400)])

    assert result == wire.Accepted(provider_id=ids[0], segments=segments)


@pytest.mark.parametrize("trouble", [StoreUnavailable("disk full"), RuntimeError("a bug")])
async def test_receipt_that_could_not_be_stored_is_to_come_again(trouble: Exception) -> None:
    transport, desk = Transport(), Desk()
    sender(transport).begin(desk.file, desk.hear)
    desk.trouble = trouble
    assert transport.take is not None

    assert await transport.take([receipt("1"), receipt("2")]) == [0x64, 0x64]

    desk.trouble = None
    assert await transport.take([receipt("1")]) == [0]
    assert len(desk.receipts) == 1


async def test_what_nobody_can_read_is_taken_and_holds_up_nothing() -> None:
    transport, desk = Transport(), Desk()
    one = sender(transport)
    one.begin(desk.file, desk.hear)
    assert transport.take is not None
    noise = smpp.Delivery(source="1", destination="2", esm_class=4, message=b"hello")

    statuses = await transport.take([noise, receipt("1")])

    assert statuses == [0, 0]
    assert [each.provider_id for each in desk.receipts] == ["1"]


WRITTEN = smpp.Delivery(source="447700900000", source_ton=1, destination="60606", message=b"STOP")


async def test_what_recipients_write_is_handed_on_before_the_answer() -> None:
    transport, desk = Transport(), Desk()
    sender(transport).begin(desk.file, desk.hear)
    assert transport.take is not None

    statuses = await transport.take([receipt("1"), WRITTEN])

    assert statuses == [0, 0]
    assert len(desk.receipts) == 1
    assert desk.heard == [wire.InboundMessage(sender="+447700900000", to="60606", text="STOP")]


@pytest.mark.parametrize("trouble", [StoreUnavailable("disk full"), RuntimeError("a bug")])
async def test_only_what_could_not_be_stored_is_to_come_again(trouble: Exception) -> None:
    transport, desk = Transport(), Desk()
    sender(transport).begin(desk.file, desk.hear)
    assert transport.take is not None
    desk.deafness = trouble

    assert await transport.take([receipt("1"), WRITTEN]) == [0, 0x64]

    desk.deafness, desk.trouble = None, trouble
    assert await transport.take([receipt("2"), WRITTEN]) == [0x64, 0x64]
    assert desk.heard == []


async def test_part_that_is_put_off_leaves_what_was_taken_unknown() -> None:
    transport = Transport(taken("1"), smpp.Answer(status=0x58))

    [result] = await send(sender(transport), [message("x" * 400)])

    assert result == wire.Unknown(code="0x58", detail="after parts were taken")
