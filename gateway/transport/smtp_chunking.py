"""A whole message in one write, for relays that offer CHUNKING (RFC 3030) beside PIPELINING.

One round trip a message instead of two, and no dots to stuff. The content leaves before anything
has been answered, so a connection that breaks now leaves its message unknown where DATA's would
be known as not sent. Hence only on a connection that has just spoken, which nobody closes for
being idle, and for contents that are not worth asking about first; all else goes by DATA.
"""

import asyncio
import contextlib

from gateway.model import errors, wire
from gateway.transport.smtp_pipeline import PipeliningSession
from gateway.transport.smtp_session import CONTENT_TIMEOUT, TAKES_RCPT, Stale
from gateway.transport.smtp_stream import CLOSING, Cut, Reply, Waiter

#: Octets that may be sent in vain when the relay refuses the envelope: what a TCP window holds.
_MOST = 64 * 1024

#: Seconds after its last reply for which a connection counts as having just spoken: far below any
#: server's idle time (RFC 5321 §4.5.3.2.7 asks for five minutes).
_FRESH = 1.0

#: Replies after which a transaction goes on, in the order of their commands.
_GOOD = (("mail", frozenset({250})), ("rcpt", TAKES_RCPT))


class ChunkingSession(PipeliningSession):
    """Speaks on a connection that is ready for MAIL, a message at a time."""

    _heard_at = -_FRESH

    async def transact(
        self, envelope: wire.Envelope, *, timeout: float, content_timeout: float = CONTENT_TIMEOUT
    ) -> wire.SmtpReply:
        """See `Session.transact`. AnswerLost also where that could tell that nothing was sent."""
        loop = asyncio.get_running_loop()
        if len(envelope.content) > _MOST or loop.time() - self._heard_at > _FRESH or self._dirty:
            reply = await super().transact(
                envelope, timeout=timeout, content_timeout=content_timeout
            )
        else:
            reply = await self._send_whole(envelope, timeout, content_timeout)
        self._heard_at = loop.time()
        return reply

    async def _send_whole(
        self, envelope: wire.Envelope, timeout: float, content_timeout: float
    ) -> wire.SmtpReply:
        recipient = envelope.recipients[0]
        self._check()
        self.carried += 1
        self._dirty = True
        lines = [
            self._mail(envelope),
            self._rcpt(envelope, recipient),
            f"BDAT {len(envelope.content)} LAST",
        ]
        head = "".join(f"{line}\r\n" for line in lines).encode("utf-8")
        greeted, taken = self.expect(2), self.expect(1)
        self.write(head + envelope.content)
        reply, stage = await self._refusal(greeted, timeout)
        if reply is None:
            reply = await self._verdict(taken, content_timeout)
            self._dirty = reply.code != 250  # after a failure only RSET is certain (§2)
        elif not self.broken:  # the chunk is answered all the same
            with contextlib.suppress(Cut):
                await self.hear(taken, timeout)
        return wire.SmtpReply(code=reply.code, text=reply.text, stage=stage, recipient=recipient)

    async def _refusal(self, greeted: Waiter, timeout: float) -> tuple[Reply | None, str]:
        """The first reply to MAIL and RCPT that refuses, if one does, and whose turn it is. Raises
        AnswerLost, and Stale when the relay had closed the connection before."""
        cut = False
        try:
            replies = await self.hear(greeted, timeout)
        except Cut as error:
            cut, replies = True, list(error.replies)
        for reply, (stage, good) in zip(replies, _GOOD, strict=False):
            if reply.code == CLOSING and stage == "mail":
                raise Stale(self.broken)
            if reply.code not in good:
                return reply, stage
        if cut:
            raise errors.AnswerLost(self.broken)
        return None, "content"

    async def _verdict(self, taken: Waiter, timeout: float) -> Reply:
        try:
            return (await self.hear(taken, timeout))[0]
        except Cut:
            raise errors.AnswerLost(self.broken) from None
