"""Postmark, as it looks from outside: single mails, batches, webhooks.

Send: https://postmarkapp.com/developer/api/email-api. Batches:
https://postmarkapp.com/developer/user-guide/send-email-with-api/batch-emails. Magic addresses:
`mailboxes.MAGIC` at any domain. The knob `throttle` counts requests, not the mails in them.
"""

import base64
import datetime
import hmac
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, mailboxes, postmark_rules, reports
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import Fate

#: What it is built with unless told otherwise; no real server has it.
SERVER_TOKEN = "5a9db0c5-0000-4000-8000-000000000001"

_MOST_MAILS = 500
#: Tries of a webhook after the first.
_RETRIES = 3

#: (HTTP status of a single mail, ErrorCode, Message) of each fate.
_ERRORS: Mapping[Fate, tuple[int, int, str]] = {
    Fate.TEMPORARY: (503, 100, "Maintenance."),
    Fate.THROTTLED: (429, 429, "Rate limit exceeded."),
    Fate.PERMANENT: (422, 411, "Forbidden attachment."),
    Fate.RECIPIENT: (
        422,
        406,
        "You tried to send to a recipient that has been marked as inactive. "
        "Found inactive addresses: {to}. Inactive recipients are ones that have generated a "
        "hard bounce, a spam complaint, or a manual suppression.",
    ),
    Fate.CREDENTIAL: (401, 10, "The Server Token you provided is not valid."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What became of one mail, and what is said of it."""

    fate: Fate
    status: int
    answer: Mapping[str, Any]


class PostmarkSimulator(base.HttpSimulator):
    """One server, whose webhooks carry a user and password, headers, or both."""

    kind: ClassVar[str] = "postmark"

    def __init__(
        self,
        *,
        server_token: str = SERVER_TOKEN,
        webhook_username: str = "",
        webhook_password: str = "",
        webhook_headers: Mapping[str, str] | None = None,
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self.server_token = server_token
        self._webhook_headers = dict(webhook_headers or {})
        if webhook_username:
            pair = base64.b64encode(f"{webhook_username}:{webhook_password}".encode()).decode()
            self._webhook_headers["Authorization"] = f"Basic {pair}"

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/email", self._send), web.post("/email/batch", self._send_batch)]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        body, at = await request.read(), self.now()
        if refusal := self._refusal(request):
            return refusal
        mail = _read(body)
        throttled = self.judge.throttled()
        outcome = _refused(Fate.THROTTLED, mail) if throttled else self._decide(mail)
        return await self._finish(request, [mail], [outcome], outcome.status, outcome.answer, at)

    async def _send_batch(self, request: web.Request) -> web.StreamResponse:
        body, at = await request.read(), self.now()
        if refusal := self._refusal(request):
            return refusal
        mails = _read(body)
        if not isinstance(mails, list) or not mails:
            return _error(422, 403, "Incompatible JSON.")
        if len(mails) > _MOST_MAILS:
            return _error(422, 410, "Too many batch messages.")
        if self.judge.throttled():
            outcomes = [_refused(Fate.THROTTLED, mail) for mail in mails]
            return await self._finish(request, mails, outcomes, 429, outcomes[0].answer, at)
        outcomes = [self._decide(mail) for mail in mails]
        answers = [one.answer for one in outcomes]
        return await self._finish(request, mails, outcomes, 200, answers, at)

    def _refusal(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("X-Postmark-Server-Token", "")
        if not hmac.compare_digest(
            given.encode("utf-8", "surrogateescape"), self.server_token.encode()
        ):
            return _error(401, 10, "The Server Token you provided is not valid.")
        if "application/json" not in request.headers.get("Content-Type", ""):
            return _error(415, 409, "Requires Content-Type of application/json.")
        return None

    def _decide(self, mail: Any) -> _Outcome:
        if found := postmark_rules.fault(mail):
            code, text = found
            return _Outcome(fate=Fate.INVALID, status=422, answer=_answer(code, text))
        fate = self.judge.draw(mailboxes.magic_of(_to(mail)))
        return _refused(fate, mail) if fate in _ERRORS else _taken(fate, mail)

    async def _finish(
        self,
        request: web.Request,
        mails: Sequence[Any],
        outcomes: Sequence[_Outcome],
        status: int,
        answer: Any,
        at: float,
    ) -> web.StreamResponse:
        """Log, report and answer. What is said of one is said of all: the connection is theirs."""
        fates = {one.fate for one in outcomes}
        fate = next((one for one in (Fate.HUNG, Fate.LOST) if one in fates), Fate.TAKEN)
        for mail, outcome in zip(mails, outcomes, strict=True):
            self._record(mail, outcome, fate, at)
        response = control.json_response(answer, status=status)
        if status in (429, 503):
            response.headers.update(base.retry_header(self.knobs))
        return await self.conclude(request, fate, response)

    def _record(self, mail: Any, outcome: _Outcome, whole: Fate, at: float) -> None:
        was_taken = outcome.fate in (Fate.TAKEN, Fate.LOST, Fate.HUNG)
        fate = whole if was_taken else outcome.fate
        content = mail if isinstance(mail, dict) else {}
        id = str(outcome.answer.get("MessageID", "")) if fate is not Fate.HUNG else ""
        self.log.add(
            Arrival(
                at=at,
                id=id,
                reference=find_reference(str(content.get("Metadata"))),
                to=_to(content),
                fate=fate,
                answer=str(outcome.answer["ErrorCode"]),
                content=content,
            )
        )
        if id and was_taken:
            self._report(content, id)

    def _report(self, mail: Mapping[str, Any], id: str) -> None:
        event = self.judge.receipt(mailboxes.magic_of(_to(mail)))
        if event is None or not self.knobs.receipt_url:
            return
        delay = self.judge.receipt_delay()
        webhooks = list(postmark_rules.webhooks(mail, id, event))
        for number, webhook in enumerate(webhooks, 1):
            report = reports.Report(
                build=self._webhook(orjson.dumps(webhook)),
                retries=_RETRIES,
                again=lambda outcome: reports.not_ok(outcome) and outcome != 403,
                retry_delay=lambda: self.knobs.receipt_retry_delay,
            )
            for _ in range(1 + self.knobs.receipt_repeats):
                self.reporter.schedule(delay * number / len(webhooks), report)

    def _webhook(self, body: bytes) -> Callable[[], wire.HttpRequest]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Postmark",
            **self._webhook_headers,
        }
        return lambda: wire.HttpRequest(
            method="POST", url=self.knobs.receipt_url, headers=headers, body=body
        )


def _read(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _to(mail: Any) -> str:
    return parseaddr(str(mail.get("To", "")))[1] if isinstance(mail, dict) else ""


def _answer(code: int, text: str) -> dict[str, Any]:
    return {"ErrorCode": code, "Message": text}


def _refused(fate: Fate, mail: Any) -> _Outcome:
    status, code, text = _ERRORS[fate]
    return _Outcome(fate=fate, status=status, answer=_answer(code, text.format(to=_to(mail))))


def _taken(fate: Fate, mail: Mapping[str, Any]) -> _Outcome:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
    answer = {
        "To": mail["To"],
        "SubmittedAt": now,
        "MessageID": str(uuid.uuid4()),
        **_answer(0, "OK"),
    }
    return _Outcome(fate=fate, status=200, answer=answer)


def _error(status: int, code: int, text: str) -> web.Response:
    return control.json_response(_answer(code, text), status=status)
