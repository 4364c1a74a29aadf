"""What has to be fetched or called for a provider's report: a certificate, a confirmation.

Whoever can reach the public port can make us fetch, before anything is proved: where to is the
provider's care (`HttpProvider.evidence_request`), how much is that of this file. Only what has
proved something is kept, so that neither a broken answer nor a forger's stays.
"""

import asyncio
import logging
from collections import OrderedDict

from gateway.clock import Clock
from gateway.model import wire
from gateway.model.errors import ErrandFailed, TransportError
from gateway.transport import base as transports

_log = logging.getLogger(__name__)

#: Seconds for a fetch: Amazon SNS, for one, waits 15 for our answer.
_TIMEOUT = 5.0
#: Seconds that evidence is kept; a certificate is good for months, and the next day asks again.
_AGE = 86_400.0
#: Answers kept; a service has one or two at a time.
_KEPT = 64
#: Fetches in flight; more are for the next try of the service.
_AT_ONCE = 8


class Errands:
    """Runs them over a transport that follows no redirects."""

    def __init__(self, transport: transports.HttpTransport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, wire.HttpResponse]] = OrderedDict()
        self._pending: dict[str, asyncio.Task[wire.HttpResponse | None]] = {}

    async def fetch(self, request: wire.HttpRequest) -> wire.HttpResponse:
        """A 200 to the request, perhaps a kept one. Raises ErrandFailed for anything else.

        Those who ask for the same share a fetch, which goes on when they are cancelled.
        """
        kept = self._kept.get(request.url)
        if kept is not None and self._clock.monotonic() - kept[0] < _AGE:
            self._kept.move_to_end(request.url)
            return kept[1]
        task = self._pending.get(request.url)
        if task is None:
            if len(self._pending) >= _AT_ONCE:
                raise ErrandFailed("too many at once")
            task = self._pending[request.url] = asyncio.create_task(self._ask(request))
            task.add_done_callback(lambda _: self._pending.pop(request.url, None))
        response = await asyncio.shield(task)
        if response is None or response.status != 200:
            raise ErrandFailed("no evidence")
        return response

    def keep(self, request: wire.HttpRequest, response: wire.HttpResponse) -> None:
        """Keep what `fetch` gave, since it has proved something."""
        kept = self._kept.get(request.url)
        if kept is None or kept[1] is not response:
            self._kept[request.url] = (self._clock.monotonic(), response)
            self._kept.move_to_end(request.url)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    async def call(self, account: str, request: wire.HttpRequest) -> None:
        """Make a call that a proved report asks for. Raises ErrandFailed unless it succeeds."""
        response = await self._ask(request)
        if response is None or not 200 <= response.status < 300:
            raise ErrandFailed("not confirmed")
        _log.info("receipts_confirmed provider=%s", account)

    async def _ask(self, request: wire.HttpRequest) -> wire.HttpResponse | None:
        """None when there is no answer; the reason is logged, the address may hold a token."""
        try:
            response = await self._transport.send(request, timeout=_TIMEOUT)
        except TransportError as error:
            _log.warning("errand_failed reason=%r", error.reason)
            return None
        if response.status != 200:
            _log.warning("errand_failed status=%s", response.status)
        return response
