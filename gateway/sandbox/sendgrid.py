"""Twilio SendGrid's mail send, as it looks from outside, with its signed event webhook.

Send: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send. Events go to the
knob `receipt_url`, those of one call together. Magic addresses: `mailboxes.MAGIC`. The knob
`throttle` counts calls, as the service does.
"""

import base64
import hmac
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.sandbox import base, control, mailboxes, reports, sendgrid_events, sendgrid_rules
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import Fate
from gateway.sandbox.sendgrid_rules import Fault, Json

#: What it is built with unless told otherwise; no real account has them.
API_KEY = "SG.sandbox.0123456789abcdef"
SENDER_DOMAIN = "example.com"

#: Repetitions of a post that was not accepted; the real ones go on for a day.
_RETRIES = 5

_TROUBLE: Mapping[Fate, tuple[int, Fault]] = {
    Fate.TEMPORARY: (503, Fault("Service Unavailable")),
    Fate.THROTTLED: (429, Fault("too many requests")),
    Fate.PERMANENT: (400, Fault("The content is not acceptable.", "content.0.value")),
    Fate.CREDENTIAL: (
        401,
        Fault("The provided authorization grant is invalid, expired, or revoked"),
    ),
}


class SendGridSimulator(base.HttpSimulator):
    """One account with one verified domain."""

    kind: ClassVar[str] = "sendgrid"

    def __init__(
        self,
        *,
        api_key: str = API_KEY,
        sender_domain: str = SENDER_DOMAIN,
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self.api_key = api_key
        self.sender_domain = sender_domain
        self._signer = sendgrid_events.Signer()

    @property
    def public_key(self) -> str:
        """What verifies its event webhook."""
        return self._signer.public_key

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/v3/mail/send", self._send)]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return _error(*refusal)
        body, at = await request.read(), self.now()
        if found := sendgrid_rules.faults(body):
            self.log.add(
                Arrival(
                    at=at,
                    reference=find_reference(body.decode("utf-8", "replace")),
                    fate=Fate.INVALID,
                    answer="400",
                )
            )
            return _error(400, *found)
        mail = orjson.loads(body)
        if mail["from"]["email"].rpartition("@")[2] != self.sender_domain:
            text = "The from address does not match a verified Sender Identity."
            return _error(403, Fault(text, "from"))
        if _is_dry(mail):
            return web.Response(status=200)
        return await self._take(request, mail, at=at)

    def _refusal(self, request: web.Request) -> tuple[int, Fault] | None:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {self.api_key}".encode()):
            return _TROUBLE[Fate.CREDENTIAL]
        accept = request.headers.get("Accept", "")
        if "application/json" not in accept and "*/*" not in accept:
            return 406, Fault("Not Acceptable")
        if request.content_type != "application/json":
            return 415, Fault("Content-Type should be application/json.")
        return None

    async def _take(self, request: web.Request, mail: Json, *, at: float) -> web.StreamResponse:
        people = mail["personalizations"]
        to = [person["to"][0]["email"] for person in people]
        fate = mailboxes.decide(self.judge, to)
        if fate in (Fate.TAKEN, Fate.LOST, Fate.HUNG):
            call = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            for place in range(len(people)):
                self._record(mail, place, at=at, fate=fate, answer="202", call=call)
            if fate is not Fate.HUNG:
                self._report(mail, call)
            answer = web.Response(status=202, headers={"X-Message-Id": call})
            return await self.conclude(request, fate, answer)
        guilty = mailboxes.culprits(to) if fate is Fate.RECIPIENT else range(len(to))
        for place in range(len(people)):
            own = fate if place in guilty else Fate.INVALID
            self._record(mail, place, at=at, fate=own, answer="refused")
        return await self.conclude(request, fate, self._refused(fate, guilty))

    def _refused(self, fate: Fate, guilty: Sequence[int]) -> web.Response:
        if fate is Fate.RECIPIENT:
            paths = [f"personalizations.{place}.to.0.email" for place in guilty]
            return _error(400, *[Fault(sendgrid_rules.BAD_ADDRESS, path) for path in paths])
        answer = _error(*_TROUBLE[fate])
        if fate is Fate.THROTTLED:
            wait = self.knobs.retry_after or 0.0
            reset = str(int(time.time() + wait) + 1)
            answer.headers.update({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})
        return answer

    def _record(
        self, mail: Json, place: int, *, at: float, fate: Fate, answer: str, call: str = ""
    ) -> None:
        person = mail["personalizations"][place]
        self.log.add(
            Arrival(
                at=at,
                id=f"{call}.{place}" if call and fate is not Fate.HUNG else "",
                reference=find_reference(*person.get("custom_args", {}).values()),
                to=person["to"][0]["email"],
                fate=fate,
                answer=answer,
                content={**_common(mail), **person},
            )
        )

    def _report(self, mail: Json, call: str) -> None:
        """What happens to the messages of a call is posted step by step, all of them together."""
        posts: list[list[Json]] = []
        for place, person in enumerate(mail["personalizations"]):
            to = person["to"][0]["email"]
            event = self.judge.receipt(magic := mailboxes.magic_of(to))
            if event is None:
                continue
            message = sendgrid_events.Mail(
                call=call,
                place=place,
                to=to,
                custom_args={**mail.get("custom_args", {}), **person.get("custom_args", {})},
                categories=mail.get("categories", ()),
            )
            for step, row in enumerate(sendgrid_events.steps(message, event, magic)):
                if step == len(posts):
                    posts.append([])
                posts[step].append(row)
        if self.knobs.receipt_url:
            self._post(posts)

    def _post(self, posts: Sequence[Sequence[Json]]) -> None:
        delay = self.judge.receipt_delay()
        for step, rows in enumerate(posts, 1):
            for body in sendgrid_events.bodies(rows):
                report = reports.Report(
                    build=self._signer.post(self.knobs.receipt_url, body),
                    retries=_RETRIES,
                    retry_delay=lambda: self.knobs.receipt_retry_delay,
                )
                for _ in range(1 + self.knobs.receipt_repeats):
                    self.reporter.schedule(delay * step / len(posts), report)


def _is_dry(mail: Json) -> bool:
    settings: Any = mail.get("mail_settings", {})
    return settings.get("sandbox_mode", {}).get("enable") is True


def _common(mail: Json) -> dict[str, Any]:
    return {name: value for name, value in mail.items() if name != "personalizations"}


def _error(status: int, *found: Fault) -> web.Response:
    return control.json_response({"errors": [one.to_json() for one in found]}, status=status)
