"""JPush, API v3, as it looks from outside.

Send: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push
Errors: https://docs.jiguang.cn/jpush/server/push/http_status_code

It knows calls by their `cid` and reports nothing. Magic registration ids are those of `devices`;
a call of none but `gone-…` finds nobody.
"""

import hmac
import itertools
import time
import uuid
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

from aiohttp import web

from gateway.sandbox import base, control, devices, jpush_rules
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate

#: What it is built with unless told otherwise; no real account has them.
APP_KEY = "5a0db0a55a0db0a55a0db0a5"
MASTER_SECRET = "sandbox-master-secret"

#: (HTTP status, code) of a whole call.
_ERRORS: Mapping[Fate, tuple[int, int]] = {
    Fate.HUNG: (200, 0),
    Fate.CREDENTIAL: (401, 1004),
    Fate.TEMPORARY: (503, 1000),
    Fate.THROTTLED: (429, 2002),
    Fate.PERMANENT: (400, 1012),
}
#: Names of calls that are remembered.
_KEPT = 10_000


class JPushSimulator(base.HttpSimulator):
    """One app."""

    kind: ClassVar[str] = "jpush"

    def __init__(
        self,
        *,
        app_key: str = APP_KEY,
        master_secret: str = MASTER_SECRET,
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self.app_key = app_key
        pair = b64encode(f"{app_key}:{master_secret}".encode()).decode()
        self._authorization = f"Basic {pair}".encode()
        self._ids = itertools.count(int(time.time()) << 20)
        #: `msg_id` by `cid`, oldest first
        self._calls: OrderedDict[str, str] = OrderedDict()

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/v3/push", self._push),
            web.post("/v3/push/validate", self._validate),
            web.get("/v3/push/cid", self._cids),
        ]

    def _is_known(self, request: web.Request) -> bool:
        offered = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(offered, self._authorization)

    async def _cids(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return _error(401, 1004)
        count = request.query.get("count", "1")
        if not count.isdecimal() or not 1 <= int(count) <= 1000:
            return _error(400, 1003)
        names = [f"{self.app_key}-{uuid.uuid4()}" for _ in range(int(count))]
        return control.json_response({"cidlist": names})

    async def _validate(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return _error(401, 1004)
        found = jpush_rules.read(await request.read())
        return _error(400, found) if isinstance(found, int) else self._answer(self._id())

    async def _push(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return _error(401, 1004)
        body, at = await request.read(), self.now()
        found = jpush_rules.read(body)
        if isinstance(found, int):
            self.log.add(Arrival(at=at, fate=Fate.INVALID, answer=str(found)))
            return _error(400, found)
        if id := self._calls.get(found.get("cid", "")):
            return self._answer(id)
        tokens = found["audience"]["registration_id"]
        whole, fates = devices.fate_of_call(self.judge, tokens)
        if whole not in (Fate.TAKEN, Fate.LOST):
            status, code = _ERRORS[whole]
            self._record(found, fates, at=at, answer=str(code))
            retry = base.retry_header(self.knobs)
            return await self.conclude(request, whole, _error(status, code, retry))
        if all(fate is Fate.RECIPIENT for fate in fates):
            self._record(found, fates, at=at, answer="1011")
            return await self.conclude(request, whole, _error(400, 1011))
        id = self._id()
        self._remember(found.get("cid", ""), id)
        self._record(found, fates, at=at, answer="200", id=id)
        return await self.conclude(request, whole, self._answer(id))

    def _id(self) -> str:
        return str(next(self._ids))

    def _remember(self, cid: str, id: str) -> None:
        if cid:
            self._calls[cid] = id
        if len(self._calls) > _KEPT:
            self._calls.popitem(last=False)

    def _answer(self, id: str) -> web.Response:
        return control.json_response({"sendno": "0", "msg_id": id})

    def _record(
        self,
        found: Mapping[str, Any],
        fates: Sequence[Fate],
        *,
        at: float,
        answer: str,
        id: str = "",
    ) -> None:
        content = {name: found[name] for name in ("notification", "message") if name in found}
        for to, fate in zip(found["audience"]["registration_id"], fates, strict=True):
            taken = fate in (Fate.TAKEN, Fate.LOST)
            arrival = Arrival(
                at=at, id=id if taken else "", to=to, fate=fate, answer=answer, content=content
            )
            self.log.add(arrival)


def _error(status: int, code: int, headers: Mapping[str, str] | None = None) -> web.Response:
    value = {"error": {"code": code, "message": jpush_rules.TEXTS.get(code, "")}}
    answer = control.json_response(value, status=status)
    if status in (429, 503):
        answer.headers.update(headers or {})
    return answer
