"""Keeps one bind to a message centre up: connects, binds, and does so again when it is lost.

SMPP Protocol Specification v3.4 §4.1 (binds), §5.1.3 (what they are refused with).
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from gateway.clock import Clock
from gateway.model import errors, smpp
from gateway.transport import smpp_pdu
from gateway.transport.smpp_options import SmppOptions
from gateway.transport.smpp_session import Deliver, Lost, Session

_log = logging.getLogger(__name__)

#: First wait after a failure in seconds, doubled by each that follows.
_FIRST_WAIT = 1.0

#: A session that has lasted so long was a good one: the next try is made at once.
_STEADY = 10.0

#: Wait after a refusal that is about our account: binding in a loop gets accounts blocked.
_REFUSED_WAIT = 300.0

#: RINVPASWD, RINVSYSID, RINVSYSTYP, RSERTYPUNAUTH, RPROHIBITED
_REFUSALS = frozenset({0x0E, 0x0F, 0x53, 0x100, 0x101})


class Line:
    """One bind; `run` it."""

    def __init__(
        self,
        options: SmppOptions,
        command: int,
        *,
        clock: Clock,
        random: Callable[[], float],
        tls: ssl.SSLContext | None,
        deliver: Deliver,
        changed: Callable[[], None],
    ) -> None:
        """command: which bind. changed: called whenever `session` or `trouble` may be others."""
        self.session: Session | None = None
        #: why there is no session; None: there is one, or a try is under way
        self.trouble: smpp.Answer | errors.NotSent | None = None
        self._options = options
        self._command = command
        self._clock = clock
        self._random = random
        self._tls = tls
        self._deliver = deliver
        self._changed = changed

    @property
    def submits(self) -> bool:
        return self._command != smpp_pdu.BIND_RECEIVER

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            self.trouble = None
            lasted = await self._hold()
            failures = 0 if lasted >= _STEADY else failures + 1
            self._changed()
            if failures:
                await self._clock.sleep(self._wait(failures))

    async def _hold(self) -> float:
        """Bind, and wait for the end of the session; seconds that it lasted, 0 without one."""
        begun = self._clock.monotonic()
        session = await self._open()
        if not isinstance(session, Session):
            self.trouble = session
            _log.warning(
                "smpp_bind_failed provider=%s reason=%s", self._options.name, _words(session)
            )
            return 0.0
        self.session = session
        _log.info("smpp_bound provider=%s command=%#x", self._options.name, self._command)
        self._changed()
        try:
            await asyncio.shield(session.closed)
        finally:
            self.session = None
        self.trouble = errors.NotSent(session.broken)
        _log.warning("smpp_unbound provider=%s reason=%s", self._options.name, session.broken)
        return self._clock.monotonic() - begun

    def _wait(self, failures: int) -> float:
        """Seconds, spread by half so that many clients do not come back together."""
        trouble = self.trouble
        if isinstance(trouble, smpp.Answer) and trouble.status in _REFUSALS:
            wait = _REFUSED_WAIT
        else:
            wait = min(_FIRST_WAIT * 2 ** min(failures - 1, 16), self._options.reconnect)
        return wait * (0.5 + self._random() / 2)

    async def _open(self) -> Session | smpp.Answer | errors.NotSent:
        """A bound session, or the answer by which the centre declined, or why there is none."""
        session = Session(self._options, self._clock, self._deliver, self._changed)
        try:
            await self._connect(session)
            status = await session.bind(self._command)
        except Lost as lost:
            trouble: smpp.Answer | errors.NotSent = errors.NotSent(str(lost))
        except (OSError, UnicodeError) as error:  # TimeoutError is one, a bad name the other
            trouble = errors.NotSent(_reason(error))
        except BaseException:
            session.abort("closed")
            raise
        else:
            if status == smpp.OK:
                return session
            trouble = smpp.Answer(status=status, at_bind=True)
        session.abort("not bound")
        return trouble

    async def _connect(self, session: Session) -> None:
        options = self._options
        is_receiver = self._command == smpp_pdu.BIND_RECEIVER
        async with asyncio.timeout(options.bind_timeout):
            await asyncio.get_running_loop().create_connection(
                lambda: session,
                options.host,
                options.receiver_port or options.port if is_receiver else options.port,
                ssl=self._tls,
            )


#: More special types first.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, "tls certificate"),
    (ssl.SSLError, "tls"),
    (socket.gaierror, "dns"),
    (UnicodeError, "dns"),
    (ConnectionRefusedError, "connect refused"),
    (TimeoutError, "connect timeout"),
)


def _reason(error: BaseException) -> str:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "connect failed")


def _words(trouble: smpp.Answer | errors.NotSent) -> str:
    return f"{trouble.status:#x}" if isinstance(trouble, smpp.Answer) else trouble.reason
