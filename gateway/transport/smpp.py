"""Binds to one message centre, with a window of unanswered submit_sm on each.

A message waits for a place in some window, the emptiest first, in the order of asking; while no
bind is up and none is being tried it is not sent at all. What the centre delivers waits in a
bounded queue until the handler has stored it, and only then is it acknowledged.

SMPP Protocol Specification v3.4 §2 (sessions), §2.9 (outstanding requests).
"""

import asyncio
import random as chance
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from gateway.clock import Clock
from gateway.model import errors, smpp
from gateway.transport import base, smpp_pdu
from gateway.transport.smpp_line import Line
from gateway.transport.smpp_options import SmppOptions, WindowFull
from gateway.transport.smpp_pdu import Pdu
from gateway.transport.smpp_session import Session

#: Stores deliveries; the command_status to answer each with, in their order. Never raises.
Take: TypeAlias = Callable[[Sequence[smpp.Delivery]], Awaitable[Sequence[int]]]

#: Messages that may wait for a place.
_MOST_WAITING = 10_000

#: Deliveries that may wait to be stored: more are answered RMSGQFUL, and come again.
_MOST_DELIVERIES = 512

#: Deliveries stored together.
_AT_ONCE = 128

#: Seconds for storing them: a centre that waits longer may unbind.
_TAKE_TIMEOUT = 30.0

#: Seconds that the centre gets to agree to our leaving.
_UNBIND_TIMEOUT = 5.0

#: Places that one message takes in turn, when connections end while it waits for its token.
_TRIES = 3

_Place: TypeAlias = Session | smpp.Answer | errors.NotSent


class PooledSmppTransport:
    """Enter it, then `begin`; until then nothing is bound."""

    def __init__(
        self,
        options: SmppOptions,
        *,
        clock: Clock,
        random: Callable[[], float] = chance.random,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """tls: for authorities that are in no file; only with `options.tls`."""
        self._options = options
        self._clock = clock
        self._random = random
        self._tls = tls
        self._lines: list[Line] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._queue: deque[asyncio.Future[_Place]] = deque()
        self._inbox: asyncio.Queue[tuple[Session, Pdu, smpp.Delivery]] = asyncio.Queue(
            _MOST_DELIVERIES
        )

    async def __aenter__(self) -> "PooledSmppTransport":
        if self._options.tls and self._tls is None:
            ca_file = self._options.ca_file or None
            self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
        return self

    def begin(self, take: Take) -> None:
        """Bind, and stay bound; deliveries go to `take`."""
        options = self._options
        both = (smpp_pdu.BIND_TRANSMITTER, smpp_pdu.BIND_RECEIVER)
        commands = (smpp_pdu.BIND_TRANSCEIVER,) if options.mode == "transceiver" else both
        self._lines = [
            Line(
                options,
                command,
                clock=self._clock,
                random=self._random,
                tls=self._tls if options.tls else None,
                deliver=self._deliver,
                changed=self._serve,
            )
            for command in commands * options.binds
        ]
        self._tasks = [asyncio.create_task(line.run()) for line in self._lines]
        self._tasks.append(asyncio.create_task(self._consume(take)))

    async def __aexit__(self, *exc: object) -> None:
        """Unbind and close; sends that still wait for an answer have lost it."""
        tasks, sessions = self._tasks, [line.session for line in self._lines]
        for task in tasks[:-1]:  # the last one stores what still comes
            task.cancel()
        await asyncio.gather(*(one.unbind(_UNBIND_TIMEOUT) for one in sessions if one is not None))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lines, self._tasks = [], []
        self._serve()

    async def send(
        self, submit: smpp.Submit, *, timeout: float, admit: base.Admit | None = None
    ) -> smpp.Answer:
        """See `base.SmppTransport`. Raises ValueError for fields that no PDU can hold."""
        body = smpp_pdu.body_of_submit(submit)
        for _ in range(_TRIES):
            place = await self._place(timeout)
            if isinstance(place, smpp.Answer):
                return place
            try:
                if admit is not None:
                    await admit()  # again after a lost bind: what was admitted is not late
                if place.is_usable:
                    return await place.submit(body)
            finally:
                place.used -= 1
                self._serve()
        raise errors.NotSent("disconnected")

    async def _place(self, timeout: float) -> Session | smpp.Answer:
        """A session with a place in its window taken, or the refusal of the bind."""
        place = self._find_place()
        if place is None:
            place = await self._wait_for_place(timeout)
        if isinstance(place, errors.NotSent):
            raise type(place)(place.reason)
        return place

    def _find_place(self) -> _Place | None:
        """What there is at once; None: wait."""
        session = None if self._queue else self._emptiest()
        if session is not None:
            session.used += 1
            return session
        if (trouble := self._trouble()) is not None:
            return trouble
        if len(self._queue) >= _MOST_WAITING:
            return WindowFull("queue full")
        return None

    async def _wait_for_place(self, timeout: float) -> _Place:
        future: asyncio.Future[_Place] = asyncio.get_running_loop().create_future()
        self._queue.append(future)
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(future)
        except BaseException as error:
            self._withdraw(future)
            if isinstance(error, TimeoutError):
                bound = any(line.session is not None for line in self._lines if line.submits)
                return WindowFull("window full") if bound else errors.NotSent("not bound")
            raise

    def _withdraw(self, future: asyncio.Future[_Place]) -> None:
        """Whoever waited has gone; what it was given in this instant goes to the next."""
        if future.done() and isinstance(session := future.result(), Session):
            session.used -= 1
            self._serve()
        elif not future.done():
            self._queue.remove(future)

    def _serve(self) -> None:
        """Give places to those who wait; tell them when there will be none."""
        while self._queue and (session := self._emptiest()) is not None:
            session.used += 1
            self._queue.popleft().set_result(session)
        if self._queue and (trouble := self._trouble()) is not None:
            while self._queue:
                self._queue.popleft().set_result(trouble)

    def _emptiest(self) -> Session | None:
        """The usable session with the most room; None without any."""
        usable = [
            session
            for line in self._lines
            if line.submits and (session := line.session) is not None and session.is_usable
        ]
        best = min(usable, key=lambda session: session.used, default=None)
        return best if best is not None and best.used < self._options.window else None

    def _trouble(self) -> smpp.Answer | errors.NotSent | None:
        """Why nothing can be sent now nor soon; None while some bind is up or being tried."""
        troubles = [line.trouble for line in self._lines if line.submits]
        if any(one is None for one in troubles):
            return None
        refusals = [one for one in troubles if isinstance(one, smpp.Answer)]
        return next(iter(refusals or troubles), errors.NotSent("closed"))

    def _deliver(self, session: Session, pdu: Pdu) -> None:
        try:
            self._inbox.put_nowait((session, pdu, smpp_pdu.read_delivery(pdu)))
        except smpp_pdu.Malformed:
            session.reject(pdu, smpp_pdu.INVALID_LENGTH)
        except asyncio.QueueFull:
            session.answer(pdu, smpp_pdu.QUEUE_FULL)

    async def _consume(self, take: Take) -> None:
        while True:
            batch = [await self._inbox.get()]
            while len(batch) < _AT_ONCE and not self._inbox.empty():
                batch.append(self._inbox.get_nowait())
            try:
                async with asyncio.timeout(_TAKE_TIMEOUT):
                    statuses = await take([delivery for _, _, delivery in batch])
            except TimeoutError:
                statuses = [smpp_pdu.TRY_AGAIN] * len(batch)
            for (session, pdu, _), status in zip(batch, statuses, strict=True):
                session.answer(pdu, status)
