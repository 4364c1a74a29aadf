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
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from gateway.cli import loop, output, sandbox
from gateway.cli.spares import LOG_LIMIT, TOKEN, knobs, receipts, spares
from gateway.sandbox import (
    aliyun,
    apns,
    base,
    fcm,
    http,
    rcs_google,
    receiver,
    smtp,
    tencent,
    twilio,
    vonage,
)
from gateway.sandbox.knobs import Knobs

_RECEIPT_SECRET = "whsec_" + base64.b64encode(b"receipts of the sandbox ").decode()
#: In the address of services that sign no receipts.
_ADDRESS_SECRET = "receipts-of-the-sandbox"
_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"webhooks of the sandbox ").decode()

#: What belongs to no simulator. The number of a VAPID key, in base64url, may be any.
_VALUES = {
    "token": TOKEN,
    "receipt_secret": _RECEIPT_SECRET,
    "address_secret": _ADDRESS_SECRET,
    "webhook_secret": _WEBHOOK_SECRET,
    "vapid_key": base64.urlsafe_b64encode(b"key of the sandbox for web push.").decode(),
    "api_key": sandbox.API_KEY,
}

#: Accounts that stand second in a lane of `sandbox.toml`.
SECOND = frozenset({"tencent", "twilio"})

#: A value to fill in: one of those above, or what a simulator knows, as `ses.keys.region`, or its
#: module, as `getui.APP_ID`. Not `${…}`, which means a secret in the file itself.
_PLACE = re.compile(r"@\{([A-Za-z0-9_.-]+)\}")


class Stand:
    """Every simulator that `sandbox.toml` names. Enter it, then write the configuration."""

    def __init__(self, *, port: int) -> None:
        """port: the gateway's public one, where receipts go."""
        self.acme = _service("acme", port)
        self.aliyun = aliyun.AliyunSimulator(knobs=_keyed("aliyun", port), log_limit=LOG_LIMIT)
        self.relay = smtp.SmtpSimulator(
            receipt_secret=_RECEIPT_SECRET,
            knobs=knobs(receipts("relay", port)),
            log_limit=LOG_LIMIT,
        )
        self.bulk = smtp.SmtpSimulator(knobs=knobs(), log_limit=LOG_LIMIT)
        self.receiver = receiver.ReceiverSimulator(secrets=[_WEBHOOK_SECRET], log_limit=LOG_LIMIT)
        self._fcm = fcm.FcmSimulator(knobs=knobs(), log_limit=LOG_LIMIT)
        self._apns = apns.ApnsSimulator(knobs=knobs(), log_limit=LOG_LIMIT)
        self._vonage = vonage.VonageSimulator(knobs=knobs(), log_limit=LOG_LIMIT)
        self._rcs_google = rcs_google.RcsGoogleSimulator(
            knobs=knobs(receipts("rcs-google", port)), log_limit=LOG_LIMIT
        )
        #: simulators by the provider account that they stand for, preferred ones first
        self.accounts: Mapping[str, base.Simulator] = {
            "fcm": self._fcm,
            "beacon": _service("beacon", port),
            "acme": self.acme,
            "twilio": twilio.TwilioSimulator(knobs=knobs(), log_limit=LOG_LIMIT),
            "aliyun": self.aliyun,
            "tencent": tencent.TencentSimulator(knobs=_keyed("tencent", port), log_limit=LOG_LIMIT),
            "relay": self.relay,
            "relay-bulk": self.bulk,
        }
        #: by the other accounts, which take no part in the demo
        self.spares: Mapping[str, base.Simulator] = {
            "apns": self._apns,
            "rcs-google": self._rcs_google,
            "vonage": self._vonage,
            **spares(port),
        }
        self._stack = AsyncExitStack()

    @property
    def channels(self) -> Mapping[str, str]:
        """What each account of the demo carries."""
        return {
            "fcm": "push",
            "beacon": "push",
            "acme": "sms",
            "twilio": "sms",
            "aliyun": "sms",
            "tencent": "sms",
            "relay": "email",
            "relay-bulk": "email",
        }

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
        (folder / "fcm.json").write_bytes(orjson.dumps(self._fcm.service_account()))
        (folder / "rcs_google.json").write_bytes(orjson.dumps(self._rcs_google.service_account()))
        (folder / "apns.p8").write_text(self._apns.private_key, encoding="ascii")
        (folder / "apns.pem").write_text(self._apns.authority, encoding="ascii")
        (folder / "vonage.pem").write_text(self._vonage.private_key(), encoding="ascii")
        own = {"folder": str(folder), "port": str(port), "internal_port": str(internal_port)}
        values = {**_VALUES, **own}
        file = folder / sandbox.FILE
        text = _PLACE.sub(
            lambda match: values.get(match[1]) or self._ask(match[1]), sandbox.template()
        )
        file.write_text(text, encoding="utf-8")
        return file

    def _ask(self, place: str) -> str:
        """What a simulator or its module knows, as `account.name`."""
        account, _, name = place.partition(".")
        simulators = {**self.accounts, **self.spares, "receiver": self.receiver}
        simulator = simulators[account]
        holder = sys.modules[type(simulator).__module__] if name.isupper() else simulator
        return str(attrgetter(name)(holder))


def _service(account: str, port: int) -> http.HttpServiceSimulator:
    return http.HttpServiceSimulator(
        token=TOKEN,
        receipt_secret=_RECEIPT_SECRET,
        knobs=knobs(receipts(account, port)),
        log_limit=LOG_LIMIT,
    )


def _keyed(account: str, port: int) -> Knobs:
    return knobs(f"{receipts(account, port)}?key={_ADDRESS_SECRET}")


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
