"""HTTP/1.1 over aiohttp: pooled, bounded, and exact about whether a request left.

aiohttp's own conveniences that would change what is sent are off: redirects, cookies, proxies
from the environment, and the repetition of idempotent methods, since one `admit` is one send.
"""

import asyncio
import io

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.model import errors, wire
from gateway.transport import base, guard, http_hooks

#: aiohttp writes bytes at one go, and warns above this of the time that takes.
MAX_WHOLE_BODY = 1024 * 1024


class _TooLarge(aiohttp.ClientError):
    """The answer exceeds the cap."""


class AiohttpTransport:
    """One aiohttp session for any number of hosts, pooled by origin."""

    def __init__(
        self, options: base.HttpOptions = base.USUAL, *, guard: guard.AddressGuard | None = None
    ) -> None:
        self._options = options
        self._guard = guard
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "AiohttpTransport":
        options = self._options
        self._session = aiohttp.ClientSession(
            connector=http_hooks.Connector(
                limit=options.limit,
                limit_per_host=options.limit_per_host,
                keepalive_timeout=options.keepalive,
                ssl=options.tls or True,
                guard=self._guard,
            ),
            request_class=http_hooks.Request,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=options.connect_timeout),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, request: wire.HttpRequest, *, timeout: float, admit: base.Admit | None = None
    ) -> wire.HttpResponse:
        """See `base.HttpTransport`. What `admit` raises goes through; its connection is kept."""
        session = self._session
        if session is None or session.closed:
            raise errors.NotSent("closed")
        url = self._target(request.url)
        call = http_hooks.Call(admit, timeout, encrypted=url.scheme == "https")
        token = http_hooks.current.set(call)
        try:
            async with call.limit:
                return await self._exchange(session, request, url)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Their texts hold URLs, which hold tokens: neither text nor cause goes on.
            raise _error(call, error) from None
        except asyncio.CancelledError:
            if session.closed and not _is_cancelled():  # aiohttp cancels those who wait in line
                raise errors.NotSent("closed") from None
            raise
        finally:
            http_hooks.current.reset(token)

    def _target(self, url: str) -> URL:
        """The URL exactly as given, if it is one; only what is not ASCII gets quoted."""
        if self._guard is not None and (reason := self._guard.check_url(url)):
            raise errors.NotSent(reason)
        try:
            # Requoting may break what a provider has signed.
            return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
        except ValueError:
            raise errors.NotSent("invalid url") from None

    async def _exchange(
        self, session: aiohttp.ClientSession, request: wire.HttpRequest, url: URL
    ) -> wire.HttpResponse:
        response = await session.request(
            request.method,
            url,
            data=_payload(request.body),
            headers=request.headers,
            allow_redirects=False,
        )
        try:
            body = await self._read(response.content)
        except BaseException:
            response.close()
            raise
        return wire.HttpResponse(
            status=response.status, headers=_lower(response.headers), body=body
        )

    async def _read(self, content: aiohttp.StreamReader) -> bytes:
        most = self._options.max_answer_bytes
        body = await content.readany()  # nearly always all of it
        if content.at_eof() and len(body) <= most:
            return body
        chunks, size = [body], len(body)
        while size <= most:
            chunk = await content.readany()
            if not chunk and content.at_eof():
                return b"".join(chunks)
            chunks.append(chunk)
            size += len(chunk)
        raise _TooLarge


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    if len(body) > MAX_WHOLE_BODY:
        return io.BytesIO(body)
    return body or None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _lower(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """Names in lower case; repeated ones joined as RFC 9110 §5.3 allows."""
    lower = {name.lower(): value for name, value in headers.items()}
    if len(lower) < len(headers):
        for name in lower:
            lower[name] = ", ".join(headers.getall(name))
    return lower


def _error(call: http_hooks.Call, error: Exception) -> errors.TransportError:
    reason = _reason(call, error)
    return errors.AnswerLost(reason) if call.has_left() else errors.NotSent(reason)


#: More special types first.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (_TooLarge, "answer too large"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientConnectorCertificateError, "tls certificate"),
    (aiohttp.ClientConnectorSSLError, "tls"),
    (aiohttp.ClientConnectorError, "connect failed"),
    (aiohttp.ClientResponseError, "not http"),
    (aiohttp.ClientPayloadError, "answer cut short"),
    (aiohttp.ClientConnectionError, "disconnected"),
    (ValueError, "invalid request"),
)


def _reason(call: http_hooks.Call, error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout" if call.begun else "connect timeout"
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, guard.AddressRefused):
            return str(error.os_error)
        if isinstance(error.os_error, ConnectionRefusedError):
            return "connect refused"
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "disconnected")
