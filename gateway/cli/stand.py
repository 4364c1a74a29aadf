"""The simulators of sandbox mode, and the configuration of a gateway in front of them.

`python -m gateway.cli.stand FOLDER PORT INTERNAL_PORT` runs them as a process, see `simulators`: it
writes the configuration into the folder, prints one line of JSON when it is ready, and ends when
its standard input does, hence with the process that started it.
"""

import base64
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from gateway.cli import loop, output, sandbox
from gateway.cli.ports import HOST
from gateway.sandbox import base, fcm, http, postmark, receiver, ses, smtp, twilio
from gateway.sandbox.knobs import Knobs

_TOKEN = "sandbox-token"
_RECEIPT_SECRET = "whsec_" + base64.b64encode(b"receipts of the sandbox ").decode()
_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"webhooks of the sandbox ").decode()

#: Accounts that stand second in a lane of `sandbox.toml`.
SECOND = frozenset({"twilio"})

#: Webhooks and messages that a simulator remembers for its control page.
_LOG_LIMIT = 10_000

#: Seconds to an answer and to a receipt, about as a quick provider takes them.
_LATENCY, _JITTER, _RECEIPT_DELAY, _RECEIPT_JITTER = 0.02, 0.03, 0.3, 0.5

#: A value to fill in. Not `${…}`, which means a secret in the file itself.
_PLACE = re.compile(r"@\{([a-z_]+)\}")


class Stand:
    """Every simulator that `sandbox.toml` names. Enter it, then write the configuration."""

    def __init__(self, *, port: int) -> None:
        """port: the gateway's public one, where receipts go."""
        self.acme = self._service("acme", port)
        self.beacon = self._service("beacon", port)
        self.twilio = twilio.TwilioSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.fcm = fcm.FcmSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.relay = smtp.SmtpSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.bulk = smtp.SmtpSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.postmark = postmark.PostmarkSimulator(
            webhook_headers={"X-Webhook-Secret": _TOKEN},
            knobs=_knobs(f"http://{HOST}:{port}/v1/receipts/postmark"),
            log_limit=_LOG_LIMIT,
        )
        self.ses = ses.SesSimulator(
            knobs=_knobs(f"http://{HOST}:{port}/v1/receipts/ses"), log_limit=_LOG_LIMIT
        )
        self.receiver = receiver.ReceiverSimulator(secrets=[_WEBHOOK_SECRET], log_limit=_LOG_LIMIT)
        self._stack = AsyncExitStack()

    def _service(self, account: str, port: int) -> http.HttpServiceSimulator:
        return http.HttpServiceSimulator(
            token=_TOKEN,
            receipt_secret=_RECEIPT_SECRET,
            knobs=_knobs(f"http://{HOST}:{port}/v1/receipts/{account}"),
            log_limit=_LOG_LIMIT,
        )

    @property
    def channels(self) -> Mapping[str, str]:
        """What each account carries."""
        return {
            "fcm": "push",
            "beacon": "push",
            "acme": "sms",
            "twilio": "sms",
            "relay": "email",
            "relay-bulk": "email",
        }

    @property
    def accounts(self) -> Mapping[str, base.Simulator]:
        """Simulators by the provider account that they stand for, preferred ones first."""
        return {
            "fcm": self.fcm,
            "beacon": self.beacon,
            "acme": self.acme,
            "twilio": self.twilio,
            "relay": self.relay,
            "relay-bulk": self.bulk,
        }

    @property
    def spares(self) -> Mapping[str, base.Simulator]:
        """The same for accounts that only messages of a category of their own come to."""
        return {"postmark": self.postmark, "ses": self.ses}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for simulator in (*self.accounts.values(), *self.spares.values(), self.receiver):
                await stack.enter_async_context(simulator)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def write(self, folder: Path, *, port: int, internal_port: int) -> Path:
        """Write `gateway.toml` and what it refers to; the path of the former."""
        folder = folder.resolve()
        (folder / "fcm.json").write_bytes(orjson.dumps(self.fcm.service_account()))
        values = {
            **self._values(),
            "folder": str(folder),
            "port": str(port),
            "internal_port": str(internal_port),
        }
        file = folder / sandbox.FILE
        text = _PLACE.sub(lambda match: values[match[1]], sandbox.template())
        file.write_text(text, encoding="utf-8")
        return file

    def _values(self) -> Mapping[str, str]:
        return {
            "acme": self.acme.url,
            "beacon": self.beacon.url,
            "twilio": self.twilio.url,
            "fcm": self.fcm.url,
            "receiver": self.receiver.url,
            "postmark": self.postmark.url,
            "postmark_token": self.postmark.server_token,
            "ses": self.ses.url,
            "ses_key_id": self.ses.keys.access_key_id,
            "ses_key": self.ses.keys.secret_access_key,
            "ses_region": self.ses.keys.region,
            "ses_topic": self.ses.topic.arn,
            "relay_port": str(self.relay.port),
            "bulk_port": str(self.bulk.port),
            "twilio_sid": self.twilio.account_sid,
            "twilio_token": self.twilio.auth_token,
            "token": _TOKEN,
            "receipt_secret": _RECEIPT_SECRET,
            "webhook_secret": _WEBHOOK_SECRET,
            "api_key": sandbox.API_KEY,
        }


def _knobs(receipt_url: str = "") -> Knobs:
    return Knobs(
        latency=_LATENCY,
        jitter=_JITTER,
        receipt_delay=_RECEIPT_DELAY,
        receipt_jitter=_RECEIPT_JITTER,
        receipt_url=receipt_url,
    )


async def _run(folder: Path, port: int, internal_port: int) -> None:
    async with Stand(port=port) as stand:
        stand.write(folder, port=port, internal_port=internal_port)
        simulators = {**stand.accounts, **stand.spares}
        urls = {name: one.control_url for name, one in simulators.items()}
        urls["receiver"] = stand.receiver.control_url
        output.say(orjson.dumps(urls).decode())
        await loop.wait_for_eof()


def main(arguments: Sequence[str]) -> None:
    """Until standard input ends."""
    folder, port, internal_port = arguments
    # The end of the gateway ends us, not a signal to the group that both may be in.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop.run(_run(Path(folder), int(port), int(internal_port)))


if __name__ == "__main__":
    main(sys.argv[1:])
