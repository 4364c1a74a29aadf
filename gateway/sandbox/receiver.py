"""A tenant's webhook receiver: checks Standard Webhooks signatures and keeps what it was told.

Any path will do, so one receiver can stand in for many endpoints. The first segment of the path
may be one of `MAGIC`.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.sandbox import base, webhook_signature
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import ORDINARY, Fate, Magic

MAGIC: Mapping[str, Magic] = {
    "gone": Magic(fate=Fate.RECIPIENT),
    "broken": Magic(fate=Fate.TEMPORARY),
    "busy": Magic(fate=Fate.THROTTLED),
    "lost": Magic(fate=Fate.LOST),
    "hang": Magic(fate=Fate.HUNG),
}

_STATUSES: Mapping[Fate, int] = {
    Fate.TAKEN: 204,
    Fate.LOST: 204,
    Fate.HUNG: 204,
    Fate.TEMPORARY: 500,
    Fate.THROTTLED: 429,
    Fate.PERMANENT: 400,
    Fate.RECIPIENT: 410,
    Fate.CREDENTIAL: 401,
    Fate.INVALID: 400,
}


class ReceiverSimulator(base.HttpSimulator):
    """Believes requests signed with any of its secrets; without secrets, all."""

    kind: ClassVar[str] = "receiver"

    def __init__(self, *, secrets: Sequence[str] = (), **options: Unpack[base.Options]) -> None:
        super().__init__(**options)
        self.secrets = tuple(secrets)
        #: bodies by webhook-id, each once however often it came, oldest first
        self.bodies: OrderedDict[str, Any] = OrderedDict()
        #: webhooks that were taken again
        self.duplicates = 0
        self._limit = options.get("log_limit", base.LOG_LIMIT)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/{path:(?!_sandbox/).*}", self._receive)]

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body, at = await request.read(), self.now()
        headers = {name.lower(): value for name, value in request.headers.items()}
        value = _parsed(body)
        fault = self._fault(headers, body, value)
        fate = self._fate(request.path) if fault is None else Fate.INVALID
        id = headers.get("webhook-id", "")
        taken = fate in (Fate.TAKEN, Fate.LOST)
        self.log.add(
            Arrival(
                at=at,
                id=id if taken else "",
                reference=id,
                to=request.path,
                fate=fate,
                answer=fault or str(_STATUSES[fate]),
                content=value if isinstance(value, dict) else {},
            )
        )
        if taken:
            self._keep(id, value)
        return await self.conclude(request, fate, self._answer(fate, fault))

    def _fault(self, headers: Mapping[str, str], body: bytes, value: object) -> str | None:
        if self.secrets:
            fault = webhook_signature.fault(self.secrets, headers, body, now=time.time())
            if fault is not None:
                return fault
        return None if isinstance(value, dict) else "the body is not a JSON object"

    def _fate(self, path: str) -> Fate:
        return self.judge.decide(MAGIC.get(path.split("/")[1], ORDINARY))

    def _keep(self, id: str, value: Any) -> None:
        if id in self.bodies:
            self.duplicates += 1
            return
        self.bodies[id] = value
        if len(self.bodies) > self._limit:
            self.bodies.popitem(last=False)

    def _answer(self, fate: Fate, fault: str | None) -> web.Response:
        answer = web.Response(status=_STATUSES[fate], text=fault)
        if fate in (Fate.THROTTLED, Fate.TEMPORARY):
            answer.headers.update(base.retry_header(self.knobs))
        return answer


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
