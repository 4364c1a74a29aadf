"""Mailgun's messages resource, as it looks from outside, with its webhooks.

Send: https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-http.
Webhooks go to the knob `receipt_url`. Magic addresses: `mailboxes.MAGIC`. The knob `throttle`
counts calls.
"""

import base64
import hmac
import time
import uuid
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Any, ClassVar, Unpack
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.sandbox import base, control, mailboxes, mailgun_events, mailgun_rules
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import Fate
from gateway.sandbox.mailgun_rules import Form

#: What it is built with unless told otherwise; no real account has them.
API_KEY = "key-0123456789abcdef0123456789abcdef"
DOMAIN = "mg.example.com"
SIGNING_KEY = "0123456789abcdef0123456789abcdef"

#: What a path that it does not know is answered, with 200.
MAGNIFICENT = "Mailgun Magnificent API"

_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


class MailgunSimulator(base.HttpSimulator):
    """One account with one domain."""

    kind: ClassVar[str] = "mailgun"

    def __init__(
        self,
        *,
        api_key: str = API_KEY,
        domain: str = DOMAIN,
        signing_key: str = SIGNING_KEY,
        max_batch: int = mailgun_rules.MAX_RECIPIENTS,
        **options: Unpack[base.Options],
    ) -> None:
        """max_batch: recipients of one call that the account may have, as new ones have fewer."""
        super().__init__(**options)
        self.api_key = api_key
        self.domain = domain
        self.signing_key = signing_key
        self.max_batch = max_batch
        credentials = base64.b64encode(f"api:{api_key}".encode()).decode()
        self._authorization = f"Basic {credentials}".encode()

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/v3/{domain}/messages", self._send),
            web.route("*", "/v3/{path:.*}", self._magnificent),
        ]

    async def _magnificent(self, request: web.Request) -> web.Response:
        return web.Response(text=MAGNIFICENT)

    async def _send(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return refusal
        form = await _form(request)
        at, to = self.now(), form.mailboxes("to")
        if text := mailgun_rules.fault(form):
            self._record(form, at=at, fate=Fate.INVALID, answer="400")
            return _error(400, text)
        if len(to) > self.max_batch:
            self._record(form, at=at, fate=Fate.INVALID, answer="403")
            return _error(403, "Domain is not allowed to send large batches yet")
        fate = mailboxes.decide(self.judge, to)
        if fate in (Fate.TAKEN, Fate.LOST, Fate.HUNG):
            call = f"{time.strftime('%Y%m%d%H%M%S')}.{uuid.uuid4().hex[:16]}@{self.domain}"
            self._record(form, at=at, fate=fate, answer="200", call=call)
            if fate is not Fate.HUNG:
                self._report(form, call)
            answer = control.json_response({"id": f"<{call}>", "message": "Queued. Thank you."})
            return await self.conclude(request, fate, answer)
        guilty = mailboxes.culprits(to) if fate is Fate.RECIPIENT else range(len(to))
        self._record(form, at=at, fate=fate, answer="refused", guilty=guilty)
        return await self.conclude(request, fate, self._refused(fate))

    def _refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request that is not from the account or cannot be one."""
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._authorization):
            return web.Response(text="Forbidden", status=401)
        domain = request.match_info["domain"]
        if domain != self.domain:
            return _error(404, f"Domain not found: {domain}")
        if request.content_type not in _FORMS:
            return _error(400, "wrong content type: neither a form nor multipart")
        return None

    def _refused(self, fate: Fate) -> web.Response:
        if fate is Fate.RECIPIENT:
            return _error(400, mailgun_rules.bad_address("to"))
        if fate is Fate.CREDENTIAL:
            return web.Response(text="Forbidden", status=401)
        if fate is Fate.TEMPORARY:
            return _error(503, "Service unavailable")
        if fate is Fate.PERMANENT:
            return _error(402, "Request failed")
        until = formatdate(time.time() + (self.knobs.retry_after or 0.0) + 1, usegmt=True)
        return _error(429, f"Domain {self.domain} request limit exceeded, try again after {until}")

    def _record(
        self,
        form: Form,
        *,
        at: float,
        fate: Fate,
        answer: str,
        call: str = "",
        guilty: Sequence[int] | None = None,
    ) -> None:
        """One arrival for each recipient. guilty: the places of those whose fate it is."""
        to, messages = _messages(form)
        for place, message in enumerate(messages):
            self.log.add(
                Arrival(
                    at=at,
                    id=f"{call}/{place}" if call and fate is not Fate.HUNG else "",
                    reference=find_reference(*message["variables"].values()),
                    to=to[place],
                    fate=fate if guilty is None or place in guilty else Fate.INVALID,
                    answer=answer,
                    content=message,
                )
            )

    def _report(self, form: Form, call: str) -> None:
        for to, message in zip(*_messages(form), strict=True):
            event = self.judge.receipt(magic := mailboxes.magic_of(to))
            if event is None or not self.knobs.receipt_url:
                continue
            mail = mailgun_events.Mail(
                call=call,
                to=to,
                sender=form.first("from"),
                subject=message["subject"],
                variables=message["variables"],
                tags=form.every("o:tag"),
                is_test=form.first("o:testmode") in ("yes", "true"),
            )
            self._post(list(mailgun_events.steps(mail, event, magic)))

    def _post(self, events: Sequence[Mapping[str, Any]]) -> None:
        delay = self.judge.receipt_delay()
        for step, data in enumerate(events, 1):
            report = mailgun_events.report(
                self.knobs.receipt_url,
                self.signing_key,
                data,
                retry_delay=lambda: self.knobs.receipt_retry_delay,
            )
            for _ in range(1 + self.knobs.receipt_repeats):
                self.reporter.schedule(delay * step / len(events), report)


async def _form(request: web.Request) -> Form:
    """A thousand recipients are more fields than aiohttp reads by itself."""
    if request.content_type != "multipart/form-data":
        body = (await request.read()).decode("utf-8", "replace")
        return Form(parse_qsl(body, keep_blank_values=True))
    posted = await request.post()
    return Form([(name, value) for name, value in posted.items() if isinstance(value, str)])


def _messages(form: Form) -> tuple[Sequence[str], Sequence[dict[str, Any]]]:
    """(addresses, what each gets): with variables a message of its own, else everybody's."""
    to = form.mailboxes("to") or [""]
    variables = form.variables()
    texts = {name: form.first(name) for name in ("subject", "text", "html")}
    headers, custom = form.named("h:"), form.named("v:")

    def filled(fields: Mapping[str, str], address: str) -> dict[str, str]:
        own = None if variables is None else variables.get(address, {})
        return {name: mailgun_rules.fill(value, own) for name, value in fields.items()}

    messages = [
        {
            **filled(texts, address),
            "from": form.first("from"),
            "headers": filled(headers, address),
            "variables": filled(custom, address),
            "visible_to": to if variables is None else [address],
        }
        for address in to
    ]
    return to, messages


def _error(status: int, text: str) -> web.Response:
    return control.json_response({"message": text}, status=status)
