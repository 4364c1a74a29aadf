"""Amazon SES, API v2, as it looks from outside: SendEmail, and events through a topic of SNS.

Magic addresses: `mailboxes.MAGIC` at any domain, and those of the mailbox simulator,
https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html. Events are published of
mails with a configuration set.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Literal, Unpack

import orjson
from aiohttp import web

from gateway.model import wire
from gateway.sandbox import aws_signature, base, control, mailboxes, ses_rules, sns
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import Fate, Magic

#: What it is built with unless told otherwise; no real account has them.
ACCESS_KEY_ID = "AKIASANDBOX000000001"
SECRET_ACCESS_KEY = "sandbox/0123456789abcdef0123456789abcdef"
REGION = "eu-west-1"
TOPIC_ARN = f"arn:aws:sns:{REGION}:123456789012:ses-events"

_SUBJECT = "Amazon SES Email Event Notification"
_GREETING = "Successfully validated SNS topic for Amazon SES event publishing."
_SUPPRESSED = "suppressed"

#: Addresses of the mailbox simulator.
SIMULATED: Mapping[str, Magic] = {
    "success@simulator.amazonses.com": Magic(receipt=wire.ReceiptEvent.DELIVERED),
    "ooto@simulator.amazonses.com": Magic(receipt=wire.ReceiptEvent.DELIVERED),
    "bounce@simulator.amazonses.com": Magic(receipt=wire.ReceiptEvent.BOUNCED),
    "complaint@simulator.amazonses.com": Magic(receipt=wire.ReceiptEvent.COMPLAINED),
    "suppressionlist@simulator.amazonses.com": Magic(
        receipt=wire.ReceiptEvent.FAILED, code=_SUPPRESSED
    ),
}

#: The error of each fate.
_CODES: Mapping[Fate, ses_rules.Fault] = {
    Fate.TEMPORARY: ("InternalFailure", ""),
    Fate.THROTTLED: ("TooManyRequestsException", ""),
    Fate.PERMANENT: ("MessageRejected", ""),
    Fate.RECIPIENT: ("BadRequestException", "Illegal address"),
    Fate.CREDENTIAL: ("UnrecognizedClientException", ""),
}


class SesSimulator(base.HttpSimulator):
    """One account in one region, with one topic for its events."""

    kind: ClassVar[str] = "ses"

    def __init__(
        self,
        *,
        access_key_id: str = ACCESS_KEY_ID,
        secret_access_key: str = SECRET_ACCESS_KEY,
        session_token: str = "",
        region: str = REGION,
        topic_arn: str = TOPIC_ARN,
        signature_version: Literal["1", "2"] = "1",
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self.keys = aws_signature.Keys(
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            session_token=session_token,
            region=region,
            service="ses",
        )
        self.topic = sns.Topic(
            topic_arn,
            version=signature_version,
            origin=lambda: self.url,
            knobs=self.knobs,
            reporter=self.reporter,
        )
        self.topic.on_confirmed = lambda: self.topic.publish(_GREETING)

    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        await asyncio.to_thread(sns.identity)
        return await super()._start(stack)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/v2/email/outbound-emails", self._send), *self.topic.routes()]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        body, at = await request.read(), self.now()
        if code := self._signature_fault(request, body):
            return self._error((code, ""))
        mail = _read(body)
        if found := ses_rules.fault(mail):
            self._record(mail, at=at, fate=Fate.INVALID, answer=found[0])
            return self._error(found)
        magic = _magic_of(ses_rules.recipients(mail)[0])
        fate = self.judge.decide(magic)
        if fate in (Fate.TAKEN, Fate.LOST, Fate.HUNG):
            id = "" if fate is Fate.HUNG else f"0100{uuid.uuid4().hex[:12]}-{uuid.uuid4()}-000000"
            self._record(mail, at=at, fate=fate, answer="200", id=id)
            if id and (event := self.judge.receipt(magic)):
                self._report(mail, id, event, magic)
            return await self.conclude(request, fate, control.json_response({"MessageId": id}))
        self._record(mail, at=at, fate=fate, answer=_CODES[fate][0])
        return await self.conclude(request, fate, self._error(_CODES[fate]))

    def _signature_fault(self, request: web.Request, body: bytes) -> str:
        path, _, query = request.raw_path.partition("?")
        signed = aws_signature.Request(
            method=request.method,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )
        return aws_signature.fault(signed, self.keys, now=time.time())

    def _record(
        self, mail: Mapping[str, Any], *, at: float, fate: Fate, answer: str, id: str = ""
    ) -> None:
        tags = mail.get("EmailTags")
        self.log.add(
            Arrival(
                at=at,
                id=id,
                reference=find_reference(str(tags)),
                to=next(iter(ses_rules.recipients(mail)), ""),
                fate=fate,
                answer=answer,
                content=mail,
            )
        )

    def _report(
        self, mail: Mapping[str, Any], id: str, event: wire.ReceiptEvent, magic: Magic
    ) -> None:
        if not mail.get("ConfigurationSetName"):
            return
        is_suppressed = magic.code == _SUPPRESSED
        course = ses_rules.SUPPRESSED if is_suppressed else ses_rules.COURSES[event]
        delay = self.judge.receipt_delay()
        for number, one in enumerate(ses_rules.events(mail, id, course), 1):
            share = delay * number / len(course)
            self.topic.publish(orjson.dumps(one).decode(), subject=_SUBJECT, delay=share)

    def _error(self, fault: ses_rules.Fault) -> web.Response:
        code, text = fault
        status, usual = ses_rules.ERRORS[code]
        answer = control.json_response({"message": text or usual}, status=status)
        answer.headers["x-amzn-ErrorType"] = f"{code}:"
        if status == 429:
            answer.headers.update(base.retry_header(self.knobs))
        return answer


def _read(body: bytes) -> dict[str, Any]:
    try:
        mail = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return mail if isinstance(mail, dict) else {}


def _magic_of(address: str) -> Magic:
    return SIMULATED.get(address.lower()) or mailboxes.magic_of(address)
