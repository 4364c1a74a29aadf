"""The connections to one origin, and who waits for a place on one."""

import asyncio
import contextlib
from collections import deque
from typing import TypeAlias

from gateway.model import errors
from gateway.transport.http2_connection import Connection
from gateway.transport.lean_request import Origin

Turn: TypeAlias = asyncio.Future[Connection]


class Place:
    """What belongs to one origin."""

    __slots__ = ("connections", "line", "opening", "origin")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        #: those that take requests, oldest first: the later ones fall idle when it is calm
        self.connections: list[Connection] = []
        #: who waits, first come first served
        self.line: deque[Turn] = deque()
        self.opening: asyncio.Task[None] | None = None

    def reserve(self) -> Connection | None:
        """The first with room, where one more is promised a place."""
        for connection in self.connections:
            if connection.has_room():
                connection.reserved += 1
                return connection
        return None

    def line_up(self) -> Turn:
        turn: Turn = asyncio.get_running_loop().create_future()
        self.line.append(turn)
        return turn

    def withdraw(self, turn: Turn) -> None:
        """Somebody stops waiting, perhaps just after a place was given."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            turn.result().give_back()
        else:
            turn.cancel()
            with contextlib.suppress(ValueError):
                self.line.remove(turn)

    def send_home(self, reason: str) -> None:
        """All in line: nobody can serve them."""
        while self.line:
            turn = self.line.popleft()
            if not turn.done():
                turn.set_exception(errors.NotSent(reason))
