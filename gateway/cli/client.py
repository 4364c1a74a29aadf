"""A caller's view of a gateway: its HTTP API and its metrics."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import orjson

from gateway.model import wire
from gateway.model.errors import GatewayError, TransportError
from gateway.transport.lean import LeanHttpTransport

#: Seconds that a request may take; the gateway's own answers take milliseconds.
_TIMEOUT = 30.0
#: An erasure looks through all messages.
_ERASURE = 600.0


class Refused(GatewayError):
    """The gateway answered with a problem body (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(_words(status, problem))
        self.status = status
        self.problem = problem


def _words(status: int, problem: Mapping[str, Any]) -> str:
    text = f"{problem.get('title', 'refused')} ({status})"
    if detail := problem.get("detail"):
        text += f": {detail}"
    for fault in problem.get("faults", ()):
        text += f"\n  {fault.get('field')}: {fault.get('detail')}"
    return text


class Client:
    """Calls one gateway with one key. Raises Refused, or TransportError without an answer."""

    def __init__(self, url: str, key: str = "") -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._transport = LeanHttpTransport()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def submit(self, message: Mapping[str, Any], *, key: str = "") -> Mapping[str, Any]:
        """`{"id", "state"}`. key: the idempotency key, so that it may be repeated."""
        extra = {"Idempotency-Key": key} if key else {}
        return await self._call("POST", "/v1/messages", message, extra)

    async def submit_all(
        self, messages: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        """One result for each, `{"id", "state"}` or `{"problem"}`."""
        answer = await self._call("POST", "/v1/messages/batch", list(messages))
        results: Sequence[Mapping[str, Any]] = answer["results"]
        return results

    async def read(self, message: str) -> Mapping[str, Any]:
        """A message with its timeline."""
        return await self._call("GET", f"/v1/messages/{message}")

    async def put_recipients(self, rows: bytes, content_type: str) -> Mapping[str, Any]:
        """Counts and faults of a list; again is harmless."""
        extra = {"Content-Type": content_type}
        return await self._call("POST", "/v1/recipients/bulk", rows, extra)

    async def put_recipient(self, id: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The recipient as it is kept."""
        return await self._call("PUT", f"/v1/recipients/{quote(id, safe='')}", body)

    async def withdraw(self, items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Take consent back; one result for each. Raises Refused if none was taken."""
        answer = await self._call("POST", "/v1/consents/withdraw", list(items))
        results: Sequence[Mapping[str, Any]] = answer["results"]
        return results

    async def read_recipient(self, id: str) -> Mapping[str, Any]:
        return await self._call("GET", f"/v1/recipients/{quote(id, safe='')}")

    async def erase_recipient(self, id: str) -> Mapping[str, Any]:
        """`{"messages", "cancelled"}`."""
        path = f"/v1/recipients/{quote(id, safe='')}"
        return await self._call("DELETE", path, timeout=_ERASURE)

    async def metrics(self) -> "Samples":
        """For a client of the internal port."""
        response = await self._send("GET", "/metrics", None, {"Accept": "text/plain"})
        return Samples(response.body.decode())

    async def is_ready(self) -> bool:
        """For a client of the internal port."""
        try:
            return (await self._send("GET", "/readyz", None, {})).status == 200
        except TransportError:
            return False

    async def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = _TIMEOUT,
    ) -> Mapping[str, Any]:
        response = await self._send(method, path, body, headers or {}, timeout)
        answer = _parsed(response.body)
        if not 200 <= response.status < 300 or not isinstance(answer, dict):
            raise Refused(response.status, answer if isinstance(answer, dict) else {})
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        body: object,
        headers: Mapping[str, str],
        timeout: float = _TIMEOUT,
    ) -> wire.HttpResponse:
        """body: bytes as they are, None for none, all else as JSON."""
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        request = wire.HttpRequest(
            method=method,
            url=self._url + path,
            headers={"Content-Type": "application/json", **self._headers, **headers},
            body=raw,
        )
        return await self._transport.send(request, timeout=timeout)


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


_SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+)$", re.MULTILINE)
_LABEL = re.compile(r'([a-z_]+)="([^"]*)"')


class Samples:
    """What `/metrics` said."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (name, dict(_LABEL.findall(labels)), float(value))
            for name, labels, value in _SAMPLE.findall(text)
        ]

    def by(self, name: str, *labels: str) -> Counter[tuple[str, ...]]:
        """The values of a counter, summed by some of its labels."""
        found: Counter[tuple[str, ...]] = Counter()
        for sample, have, value in self._samples:
            if sample == name and value:
                found[tuple(have[label] for label in labels)] += int(value)
        return found
