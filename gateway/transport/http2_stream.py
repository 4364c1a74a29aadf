"""One request on an HTTP/2 connection, and what has come of its answer."""

import asyncio
from collections.abc import Iterable
from typing import TypeAlias

from gateway.model import errors, wire

Answer: TypeAlias = asyncio.Future[wire.HttpResponse]


class Stream:
    """Waits for its answer."""

    __slots__ = ("answer", "body", "headers", "id", "rest", "status")

    def __init__(self, id: int, answer: Answer, body: bytes) -> None:
        self.id = id
        self.answer = answer
        #: of the request, not yet written for want of a window
        self.rest = memoryview(body)
        #: 0 until the answer's head has come
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    def read_head(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Repeated fields are joined as RFC 9110 §5.3 allows."""
        headers = self.headers
        for name, value in fields:
            key, text = name.decode("latin-1"), value.decode("utf-8", "surrogateescape")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        status = headers.pop(":status", "")
        self.status = int(status) if status.isdecimal() and len(status) == 3 else 0

    def finish(self) -> None:
        """The answer is whole."""
        if not self.answer.done():  # its sender may have been cancelled in this turn of the loop
            response = wire.HttpResponse(
                status=self.status, headers=self.headers, body=bytes(self.body)
            )
            self.answer.set_result(response)

    def fail(self, error: errors.TransportError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # perhaps nobody is left to hear of it
