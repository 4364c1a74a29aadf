"""A push service and the browsers behind it: RFC 8030, with VAPID (RFC 8292).

It decrypts what it is sent, as only a browser could, so that tests see what would be shown. A
browser subscribes by `subscribe`, or by `POST /_sandbox/subscriptions` with
`{"applicationServerKey": …, "name": …}`; the answer is what `JSON.stringify(subscription)` gives.
There are no receipts. A subscription whose name is in `MAGIC` does what it says there.
"""

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.sandbox import base, control, webpush_rules
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import ORDINARY, Fate, Magic

MAGIC: Mapping[str, Magic] = {
    "gone": Magic(fate=Fate.RECIPIENT, code="410"),
    "expired": Magic(fate=Fate.RECIPIENT, code="404"),
    "moved": Magic(fate=Fate.TEMPORARY, code="307"),
    "unauthorised": Magic(fate=Fate.CREDENTIAL, code="401"),
    "forbidden": Magic(fate=Fate.CREDENTIAL, code="403"),
    "busy": Magic(fate=Fate.THROTTLED),
    "trouble": Magic(fate=Fate.TEMPORARY, code="502"),
    "down": Magic(fate=Fate.TEMPORARY),
    "large": Magic(fate=Fate.PERMANENT, code="413"),
    "rejected": Magic(fate=Fate.PERMANENT),
    "lost": Magic(fate=Fate.LOST),
    "silent": Magic(fate=Fate.HUNG),
}

#: The status of each fate unless the name says more precisely.
_STATUSES: Mapping[Fate, str] = {
    Fate.TEMPORARY: "503",
    Fate.THROTTLED: "429",
    Fate.PERMANENT: "400",
    Fate.RECIPIENT: "410",
    Fate.CREDENTIAL: "403",
}

#: Subscriptions that are kept, the oldest forgotten.
_KEPT = 100_000


class WebPushSimulator(base.HttpSimulator):
    """One push service."""

    kind: ClassVar[str] = "webpush"

    def __init__(
        self, *, wall: Callable[[], float] = time.time, **options: Unpack[base.Options]
    ) -> None:
        """wall: seconds since the epoch, by which JWTs are judged."""
        super().__init__(**options)
        self._wall = wall
        self._subscriptions: OrderedDict[str, webpush_rules.Subscription] = OrderedDict()

    def subscribe(self, application: str = "", *, name: str = "") -> dict[str, Any]:
        """A new browser's subscription. application: the key that it is for; empty: any."""
        id = f"{name or 'browser'}-{uuid.uuid4()}"
        one = webpush_rules.Subscription(id=id, application=application)
        self._subscriptions[id] = one
        while len(self._subscriptions) > _KEPT:
            self._subscriptions.popitem(last=False)
        return {"endpoint": f"{self.url}/push/{id}", "expirationTime": None, "keys": one.keys()}

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/push/{id}", self._push),
            web.post(control.PREFIX + "subscriptions", self._subscribe),
        ]

    async def _subscribe(self, request: web.Request) -> web.Response:
        try:
            asked = orjson.loads(await request.read() or b"{}")
        except orjson.JSONDecodeError:
            return _refused(422, "not JSON")
        asked = asked if isinstance(asked, dict) else {}
        application = str(asked.get("applicationServerKey", ""))
        return control.json_response(
            self.subscribe(application, name=str(asked.get("name", ""))), status=201
        )

    async def _push(self, request: web.Request) -> web.StreamResponse:
        body, at = await request.read(), self.now()
        headers = {name.lower(): value for name, value in request.headers.items()}
        subscription = self._subscriptions.get(request.match_info["id"])
        if subscription is None:
            return _refused(404, "No such subscription")
        fault, text = self._fault(headers, body, subscription)
        if fault:
            self._record(headers, text, subscription, at=at, fate=Fate.INVALID, answer=str(fault))
            return _refused(fault, text)
        magic = MAGIC.get(subscription.id.partition("-")[0], ORDINARY)
        fate = self.judge.decide(magic)
        status = magic.code if fate is magic.fate and magic.code else _STATUSES.get(fate, "201")
        self._record(headers, text, subscription, at=at, fate=fate, answer=status)
        if status == "201":
            answer = web.Response(
                status=201,
                headers={"Location": f"{self.url}/message/{uuid.uuid4()}", "TTL": headers["ttl"]},
            )
        else:
            answer = _refused(int(status), "as the sandbox was told")
            if status in ("429", "503"):
                answer.headers.update(base.retry_header(self.knobs))
        return await self.conclude(request, fate, answer)

    def _fault(
        self, headers: Mapping[str, str], body: bytes, subscription: webpush_rules.Subscription
    ) -> tuple[int, str]:
        """(status, why it is refused), or (0, what the browser shows)."""
        if found := webpush_rules.header_fault(headers, has_body=bool(body)):
            return 400, found
        refused = webpush_rules.vapid_fault(
            headers.get("authorization", ""), subscription, origin=self.url, now=self._wall()
        )
        if refused is not None:
            return refused
        if len(body) > 4096:
            return 413, "Too large"
        if not body:
            return 0, ""
        try:
            return 0, webpush_rules.decrypt(body, subscription).decode("utf-8", "replace")
        except ValueError:
            return 400, "Cannot be decrypted"

    def _record(
        self,
        headers: Mapping[str, str],
        text: str,
        subscription: webpush_rules.Subscription,
        *,
        at: float,
        fate: Fate,
        answer: str,
    ) -> None:
        named = {name: headers.get(name, "") for name in ("ttl", "urgency", "topic")}
        self.log.add(
            Arrival(
                at=at,
                id=subscription.id if fate in (Fate.TAKEN, Fate.LOST) else "",
                reference=find_reference(text),
                to=subscription.id,
                fate=fate,
                answer=answer,
                content={"headers": named, "text": text},
            )
        )


def _refused(status: int, message: str) -> web.Response:
    """In the shape of Mozilla's autopush."""
    return control.json_response({"code": status, "message": message}, status=status)
