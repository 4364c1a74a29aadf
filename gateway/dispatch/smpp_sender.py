"""Sends by an SMPP message centre, part by part, and stores what it reports on its connections.

A text that goes in parts is one attempt; each part has an id, by which the centre reports on it.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeAlias

from gateway.dispatch.senders import Admit, Call
from gateway.metrics import Metrics
from gateway.model import smpp, wire
from gateway.model.errors import AnswerLost, NotSent, StoreError, UnreadableReceipt
from gateway.providers import base as providers
from gateway.transport import base as transports
from gateway.transport.smpp_options import WindowFull

_log = logging.getLogger(__name__)

#: Stores the receipts of an account; raises StoreError.
File: TypeAlias = Callable[[str, Sequence[wire.DeliveryReceipt]], Awaitable[None]]

#: Stores what recipients wrote to an account; raises StoreError.
Hear: TypeAlias = Callable[[str, Sequence[wire.InboundMessage]], Awaitable[None]]

#: ESME_RX_T_APPN: the centre is to deliver it again (SMPP 3.4 §5.1.3).
_AGAIN: Final = 0x64

#: ESME_RINVCMDLEN, ESME_RINVCMDID: the centre cannot read what we write.
_OUR_FAULT: Final = frozenset({0x02, 0x03})


class Binding(transports.SmppTransport, Protocol):
    """A transport that also brings what the centre delivers."""

    def begin(
        self, take: Callable[[Sequence[smpp.Delivery]], Awaitable[Sequence[int]]]
    ) -> None: ...


class SmppSender:
    """One account at a message centre."""

    def __init__(
        self,
        provider: providers.SmppProvider,
        transport: Binding,
        metrics: Metrics,
        *,
        timeout: float,
    ) -> None:
        """timeout: seconds for a place in a window, for each part."""
        self._provider = provider
        self._transport = transport
        self._metrics = metrics
        self._timeout = timeout

    @property
    def provider(self) -> providers.SmppProvider:
        return self._provider

    def begin(self, file: File, hear: Hear) -> None:
        """Bind; from now on receipts go to `file`, and what recipients write to `hear`. Both are
        acknowledged when these have returned."""

        async def take(deliveries: Sequence[smpp.Delivery]) -> Sequence[int]:
            return await self._take(deliveries, file, hear)

        self._transport.begin(take)

    def plan(self, messages: Sequence[wire.Message]) -> Sequence[Call]:
        return [self._call(message) for message in messages]

    def _call(self, message: wire.Message) -> Call:
        submits = self._provider.build_submits(message)
        return Call([message], partial(self._send, submits), parts=len(submits))

    async def _send(
        self, submits: Sequence[smpp.Submit], admit: Admit | None
    ) -> Sequence[wire.AttemptResult]:
        """A part goes when the one before it was taken: what is refused leaves no pieces behind.

        What is put off after parts were taken is unknown: to repeat it would repeat those.
        """
        ids: list[str] = []
        for number, submit in enumerate(submits):
            admit_part = partial(admit, number) if admit is not None else None
            result = await self._submit(submit, admit_part)
            if not isinstance(result, wire.Accepted):
                if ids and isinstance(result, wire.Deferred):
                    return [wire.Unknown(code=result.code, detail="after parts were taken")]
                return [result]
            ids.append(result.provider_id)
        return [wire.Accepted(provider_id=ids[0], segments=_segments(ids))]

    async def _submit(
        self, submit: smpp.Submit, admit: transports.Admit | None
    ) -> wire.AttemptResult:
        try:
            answer = await self._transport.send(submit, timeout=self._timeout, admit=admit)
        except WindowFull as error:
            return wire.Deferred(code=error.reason, cause=wire.Cause.THROTTLED)
        except NotSent as error:
            return wire.Deferred(code=error.reason, cause=wire.Cause.CONNECT)
        except AnswerLost as error:
            return wire.Unknown(code=error.reason)
        except ValueError as error:
            return wire.Rejected(code="unfit", detail=str(error))
        if answer.status in _OUR_FAULT:
            _log.error("pdu_refused provider=%s status=%#x", self._provider.account, answer.status)
        return self._provider.read_answer(answer)

    async def _take(
        self, deliveries: Sequence[smpp.Delivery], file: File, hear: Hear
    ) -> Sequence[int]:
        """The status to answer each with; nothing raised. What recipients wrote has no id, so what
        has been stored of it is not asked for again for the sake of the rest."""
        account = self._provider.account
        statuses = [_AGAIN] * len(deliveries)
        try:
            brought = list(map(self._read, deliveries))
            await file(account, [one for one in brought if isinstance(one, wire.DeliveryReceipt)])
            heard = [isinstance(one, wire.InboundMessage) for one in brought]
            statuses = [_AGAIN if is_heard else smpp.OK for is_heard in heard]
            await hear(account, [one for one in brought if isinstance(one, wire.InboundMessage)])
        except StoreError:
            return statuses
        except Exception:  # a fault in an adapter must not end the account's receipts
            _log.exception("receipts_failed provider=%s", account)
            return statuses
        return [smpp.OK] * len(deliveries)

    def _read(self, delivery: smpp.Delivery) -> wire.DeliveryReceipt | wire.InboundMessage | None:
        """None for what is acknowledged and not kept: it would not be better the next time."""
        try:
            return self._provider.read_delivery(delivery)
        except UnreadableReceipt:
            self._metrics.receipts_refused.labels(self._provider.account, "unreadable").inc()
            return None


def _segments(ids: Sequence[str]) -> Sequence[str]:
    """The ids of several parts. A centre that gives no ids reports on none; one that gives the
    same to all reports on them together."""
    different = tuple(dict.fromkeys(filter(None, ids)))
    return different if len(different) > 1 else ()
