"""Getui, REST API v2, as it looks from outside.

Send: https://docs.getui.com/getui/server/rest_v2/push/
Errors: https://docs.getui.com/getui/server/rest_v2/code/
Receipts: https://docs.getui.com/getui/server/receipt/

Magic client ids are those of `devices`; `gone-…` is ignored.
"""

import hashlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, devices, getui_rules, oauth, reports
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate

#: What it is built with unless told otherwise; no real account has them.
APP_ID = "sandbox-app"
APP_KEY = "sandbox-key"
MASTER_SECRET = "sandbox-master-secret"

#: (HTTP status, code) of a whole call.
_ERRORS: Mapping[Fate, tuple[int, int]] = {
    Fate.HUNG: (200, 0),
    Fate.CREDENTIAL: (401, 10002),
    Fate.TEMPORARY: (200, 2),
    Fate.THROTTLED: (401, 10005),
    Fate.PERMANENT: (400, 20001),
}
#: By what a receipt is to tell; what no receipt tells is left out.
_CODES: Mapping[wire.ReceiptEvent, int] = {
    wire.ReceiptEvent.DELIVERED: 200,
    wire.ReceiptEvent.READ: 200,
    wire.ReceiptEvent.FAILED: 500,
    wire.ReceiptEvent.EXPIRED: 400,
    wire.ReceiptEvent.OPTED_OUT: 402,
    wire.ReceiptEvent.BOUNCED: 401,
    wire.ReceiptEvent.UNKNOWN: 999,
}
#: Only trouble with the network makes it try again, so often.
_RETRIES = 3
#: Requests that are remembered by their ids.
_KEPT = 10_000


class GetuiSimulator(base.HttpSimulator):
    """One app with receipts."""

    kind: ClassVar[str] = "getui"

    def __init__(
        self,
        *,
        app_id: str = APP_ID,
        app_key: str = APP_KEY,
        master_secret: str = MASTER_SECRET,
        token_lifetime: float = 86_400,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        """wall: seconds since the epoch, by which tokens are asked for."""
        super().__init__(**options)
        self._id, self._key, self._secret = app_id, app_key, master_secret
        #: access tokens given so far, and the switch that ends them early
        self.tokens = oauth.Tokens(lifetime=token_lifetime, now=self.now)
        self._wall = wall
        self._seen: OrderedDict[str, str] = OrderedDict()

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/v2/{app}/auth", self._auth),
            web.post("/v2/{app}/push/single/cid", self._single),
            web.post("/v2/{app}/push/single/batch/cid", self._batch),
        ]

    async def _auth(self, request: web.Request) -> web.Response:
        if self.knobs.token_error:
            return _answer(10003 if "limit" in self.knobs.token_error else 10004, status=401)
        fault = getui_rules.sign_fault(
            await request.read(), key=self._key, secret=self._secret, now=self._wall()
        )
        if fault or request.match_info["app"] != self._id:
            return _answer(fault or 20001, status=400 if not fault else 401)
        until = int((self._wall() + self.tokens.lifetime) * 1000)
        return _answer(0, data={"token": self.tokens.issue(), "expire_time": str(until)})

    async def _single(self, request: web.Request) -> web.StreamResponse:
        return await self._push(request, getui_rules.read_single)

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        return await self._push(request, getui_rules.read_batch)

    async def _push(
        self, request: web.Request, read: Callable[[bytes], Sequence[Mapping[str, Any]] | str]
    ) -> web.StreamResponse:
        if not self.tokens.valid(request.headers.get("token", "")):
            return _answer(10001, status=401)
        if request.match_info["app"] != self._id:
            return _answer(10004, status=401)
        body, at = await request.read(), self.now()
        rows = read(body)
        if isinstance(rows, str):
            self.log.add(Arrival(at=at, fate=Fate.INVALID, answer=rows))
            return _answer(20001, status=400, text=rows)
        tokens = [row["audience"]["cid"][0] for row in rows]
        whole, fates = devices.fate_of_call(self.judge, tokens)
        if whole not in (Fate.TAKEN, Fate.LOST):
            status, code = _ERRORS[whole]
            for row, fate in zip(rows, fates, strict=True):
                self._record(row, fate, at=at, answer=str(code))
            return await self.conclude(request, whole, _answer(code, status=status))
        data: dict[str, dict[str, str]] = {}
        for row, fate in zip(rows, fates, strict=True):
            task, status_text = self._take(row, fate, at=at)
            data[task] = {row["audience"]["cid"][0]: status_text}
        return await self.conclude(request, whole, _answer(0, data=data))

    def _take(self, row: Mapping[str, Any], fate: Fate, *, at: float) -> tuple[str, str]:
        """(task, status) of one message; of one that came before, the same task."""
        if fate is Fate.RECIPIENT:
            self._record(row, fate, at=at, answer="successed_ignore")
            return _task(), "successed_ignore"
        if task := self._seen.get(row["request_id"]):
            return task, "successed_offline"
        task = self._seen[row["request_id"]] = _task()
        if len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        self._record(row, fate, at=at, answer="successed_offline", id=task)
        self._report(row["audience"]["cid"][0], task)
        return task, "successed_offline"

    def _record(
        self, row: Mapping[str, Any], fate: Fate, *, at: float, answer: str, id: str = ""
    ) -> None:
        arrival = Arrival(
            at=at,
            id=id,
            to=row["audience"]["cid"][0],
            fate=fate,
            answer=answer,
            content=row["push_message"],
        )
        self.log.add(arrival)

    def _report(self, token: str, task: str) -> None:
        event = self.judge.receipt(devices.magic_of(token))
        if event is None or event not in _CODES or not self.knobs.receipt_url:
            return
        line = receipt(
            {"appid": self._id, "cid": token, "taskid": task, "msgid": uuid.uuid4().hex},
            self._secret,
            code=_CODES[event],
        )
        body = orjson.dumps(line) + b"\n"
        headers = {"Content-Type": "text/plain"}
        report = reports.Report(
            build=lambda: wire.HttpRequest(
                method="POST", url=self.knobs.receipt_url, headers=headers, body=body
            ),
            retries=_RETRIES,
            again=lambda outcome: isinstance(outcome, reports.Trouble),
            retry_delay=lambda: self.knobs.receipt_retry_delay,
        )
        delay = self.judge.receipt_delay()
        for _ in range(1 + self.knobs.receipt_repeats):
            self.reporter.schedule(delay, report)


def receipt(names: Mapping[str, str], secret: str, *, code: int) -> dict[str, Any]:
    """One line of a post. names: appid, cid, taskid and msgid."""
    signed = "".join(names[name] for name in ("appid", "cid", "taskid", "msgid")) + secret
    sign = hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()
    return {**names, "code": code, "desc": "", "sign": sign}


def _task() -> str:
    return f"RASS_0301_{uuid.uuid4().hex}"


def _answer(
    code: int, *, status: int = 200, text: str = "", data: Mapping[str, Any] | None = None
) -> web.Response:
    value = {"code": code, "msg": text or ("success" if code == 0 else "refused")}
    return control.json_response(value if data is None else {**value, "data": data}, status=status)
