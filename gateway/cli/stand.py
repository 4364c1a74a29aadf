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
from gateway.sandbox import (
    aliyun,
    apns,
    base,
    dingtalk,
    dingtalk_app,
    fcm,
    feishu,
    feishu_app,
    getui,
    http,
    huawei,
    jpush,
    mailgun,
    postmark,
    rcs_5g,
    rcs_google,
    receiver,
    sendgrid,
    ses,
    slack,
    smpp,
    smtp,
    telegram,
    tencent,
    twilio,
    vonage,
    vonage_sms,
    webpush,
    wechat,
    wecom,
)
from gateway.sandbox.knobs import Knobs

_TOKEN = "sandbox-token"
_RECEIPT_SECRET = "whsec_" + base64.b64encode(b"receipts of the sandbox ").decode()
#: In the address of services that sign no receipts.
_ADDRESS_SECRET = "receipts-of-the-sandbox"
_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"webhooks of the sandbox ").decode()

#: The number of a VAPID key, in base64url: any will do.
_VAPID_KEY = base64.urlsafe_b64encode(b"key of the sandbox for web push.").decode()

#: Accounts that stand second in a lane of `sandbox.toml`.
SECOND = frozenset({"tencent", "twilio"})

#: Webhooks and messages that a simulator remembers for its control page.
_LOG_LIMIT = 10_000

#: Seconds to an answer and to a receipt, about as a quick provider takes them.
_LATENCY, _JITTER, _RECEIPT_DELAY, _RECEIPT_JITTER = 0.02, 0.03, 0.3, 0.5

#: A value to fill in. Not `${…}`, which means a secret in the file itself.
_PLACE = re.compile(r"@\{([a-z0-9_]+)\}")


class Stand:
    """Every simulator that `sandbox.toml` names. Enter it, then write the configuration."""

    def __init__(self, *, port: int) -> None:
        """port: the gateway's public one, where receipts go."""
        self.acme = self._service("acme", port)
        self.aliyun = aliyun.AliyunSimulator(knobs=_keyed("aliyun", port), log_limit=_LOG_LIMIT)
        self.apns = apns.ApnsSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.beacon = self._service("beacon", port)
        self.twilio = twilio.TwilioSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.fcm = fcm.FcmSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.centre = smpp.SmppSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.relay = smtp.SmtpSimulator(
            receipt_secret=_RECEIPT_SECRET,
            knobs=_knobs(_receipts("relay", port)),
            log_limit=_LOG_LIMIT,
        )
        self.bulk = smtp.SmtpSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.getui = getui.GetuiSimulator(
            knobs=_knobs(_receipts("getui", port)), log_limit=_LOG_LIMIT
        )
        self.huawei = huawei.HuaweiSimulator(
            knobs=_knobs(_receipts("huawei", port)), log_limit=_LOG_LIMIT
        )
        self.jpush = jpush.JPushSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.mailgun = mailgun.MailgunSimulator(
            knobs=_knobs(_receipts("mailgun", port)), log_limit=_LOG_LIMIT
        )
        self.sendgrid = sendgrid.SendGridSimulator(
            knobs=_knobs(_receipts("sendgrid", port)), log_limit=_LOG_LIMIT
        )
        self.tencent = tencent.TencentSimulator(knobs=_keyed("tencent", port), log_limit=_LOG_LIMIT)
        self.postmark = postmark.PostmarkSimulator(
            webhook_headers={"X-Webhook-Secret": _TOKEN},
            knobs=_knobs(_receipts("postmark", port)),
            log_limit=_LOG_LIMIT,
        )
        self.rcs_5g = rcs_5g.Rcs5gSimulator(
            knobs=_knobs(_receipts("rcs-5g", port)), log_limit=_LOG_LIMIT
        )
        self.rcs_google = rcs_google.RcsGoogleSimulator(
            knobs=_knobs(_receipts("rcs-google", port)), log_limit=_LOG_LIMIT
        )
        self.ses = ses.SesSimulator(knobs=_knobs(_receipts("ses", port)), log_limit=_LOG_LIMIT)
        self.receiver = receiver.ReceiverSimulator(secrets=[_WEBHOOK_SECRET], log_limit=_LOG_LIMIT)
        self.vonage = vonage.VonageSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.vonage_sms = vonage_sms.VonageSmsSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.dingtalk = dingtalk.DingtalkSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.feishu = feishu.FeishuSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.dingtalk_app = dingtalk_app.DingtalkAppSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.feishu_app = feishu_app.FeishuAppSimulator(
            knobs=_knobs(_receipts("feishu-app", port)), log_limit=_LOG_LIMIT
        )
        self.slack = slack.SlackSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.telegram = telegram.TelegramSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self.wechat = wechat.WechatSimulator(
            knobs=_knobs(_receipts("wechat", port)), log_limit=_LOG_LIMIT
        )
        self.wecom = wecom.WecomSimulator(
            knobs=_knobs(_receipts("wecom", port)), log_limit=_LOG_LIMIT
        )
        self.webpush = webpush.WebPushSimulator(knobs=_knobs(), log_limit=_LOG_LIMIT)
        self._stack = AsyncExitStack()

    def _service(self, account: str, port: int) -> http.HttpServiceSimulator:
        return http.HttpServiceSimulator(
            token=_TOKEN,
            receipt_secret=_RECEIPT_SECRET,
            knobs=_knobs(_receipts(account, port)),
            log_limit=_LOG_LIMIT,
        )

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

    @property
    def accounts(self) -> Mapping[str, base.Simulator]:
        """Simulators by the provider account that they stand for, preferred ones first."""
        return {
            "fcm": self.fcm,
            "beacon": self.beacon,
            "acme": self.acme,
            "twilio": self.twilio,
            "aliyun": self.aliyun,
            "tencent": self.tencent,
            "relay": self.relay,
            "relay-bulk": self.bulk,
        }

    @property
    def spares(self) -> Mapping[str, base.Simulator]:
        """Simulators by the other accounts, which take no part in the demo."""
        return {
            "apns": self.apns,
            "centre": self.centre,
            "getui": self.getui,
            "huawei": self.huawei,
            "jpush": self.jpush,
            "mailgun": self.mailgun,
            "postmark": self.postmark,
            "rcs-5g": self.rcs_5g,
            "rcs-google": self.rcs_google,
            "sendgrid": self.sendgrid,
            "ses": self.ses,
            "vonage": self.vonage,
            "vonage-sms": self.vonage_sms,
            "dingtalk": self.dingtalk,
            "dingtalk-app": self.dingtalk_app,
            "feishu": self.feishu,
            "feishu-app": self.feishu_app,
            "slack": self.slack,
            "telegram": self.telegram,
            "wechat": self.wechat,
            "wecom": self.wecom,
            "webpush": self.webpush,
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
        (folder / "fcm.json").write_bytes(orjson.dumps(self.fcm.service_account()))
        account = orjson.dumps(self.rcs_google.service_account())
        (folder / "rcs_google.json").write_bytes(account)
        (folder / "apns.p8").write_text(self.apns.private_key, encoding="ascii")
        (folder / "apns.pem").write_text(self.apns.authority, encoding="ascii")
        (folder / "vonage.pem").write_text(self.vonage.private_key(), encoding="ascii")
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
            "aliyun": self.aliyun.url,
            "aliyun_key_id": aliyun.ACCESS_KEY_ID,
            "aliyun_key_secret": aliyun.ACCESS_KEY_SECRET,
            "apns": self.apns.url,
            "apns_key_id": self.apns.key_id,
            "apns_team_id": self.apns.team_id,
            "apns_bundle_id": self.apns.bundle_id,
            "beacon": self.beacon.url,
            "twilio": self.twilio.url,
            "fcm": self.fcm.url,
            "getui": self.getui.url,
            "getui_app": getui.APP_ID,
            "getui_key": getui.APP_KEY,
            "getui_secret": getui.MASTER_SECRET,
            "huawei": self.huawei.url,
            "huawei_app": huawei.APP_ID,
            "huawei_secret": huawei.APP_SECRET,
            "huawei_callback_user": huawei.CALLBACK_USER,
            "huawei_callback_key": huawei.CALLBACK_KEY,
            "jpush": self.jpush.url,
            "jpush_key": jpush.APP_KEY,
            "jpush_secret": jpush.MASTER_SECRET,
            "mailgun": self.mailgun.url,
            "mailgun_key": self.mailgun.api_key,
            "mailgun_signing_key": self.mailgun.signing_key,
            "rcs_google": self.rcs_google.url,
            "rcs_google_agent": rcs_google.AGENT_ID,
            "rcs_google_token": rcs_google.CLIENT_TOKEN,
            "rcs_5g": self.rcs_5g.url,
            "rcs_5g_app": rcs_5g.APP_ID,
            "rcs_5g_password": rcs_5g.PASSWORD,
            "rcs_5g_chatbot": rcs_5g.CHATBOT,
            "rcs_5g_callback_username": rcs_5g.CALLBACK_USERNAME,
            "rcs_5g_callback_password": rcs_5g.CALLBACK_PASSWORD,
            "sendgrid": self.sendgrid.url,
            "sendgrid_key": self.sendgrid.api_key,
            "sendgrid_verification_key": self.sendgrid.public_key,
            "tencent": self.tencent.url,
            "tencent_secret_id": tencent.SECRET_ID,
            "tencent_secret_key": tencent.SECRET_KEY,
            "address_secret": _ADDRESS_SECRET,
            "receiver": self.receiver.url,
            "centre_port": str(self.centre.port),
            "centre_id": self.centre.system_id,
            "centre_password": self.centre.password,
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
            "vonage": self.vonage.url,
            "vonage_application": self.vonage.application_id,
            "vonage_secret": self.vonage.signature_secret,
            "vonage_sms": self.vonage_sms.url,
            "vonage_sms_key": self.vonage_sms.api_key,
            "vonage_sms_secret": self.vonage_sms.signature_secret,
            "dingtalk": self.dingtalk.url,
            "dingtalk_token": dingtalk.ACCESS_TOKEN,
            "dingtalk_secret": dingtalk.SECRET,
            "feishu": self.feishu.url,
            "feishu_token": feishu.WEBHOOK_TOKEN,
            "feishu_secret": feishu.SECRET,
            "slack": self.slack.webhook_url,
            "dingtalk_app": self.dingtalk_app.url,
            "dingtalk_app_key": dingtalk_app.APP_KEY,
            "dingtalk_app_secret": dingtalk_app.APP_SECRET,
            "dingtalk_app_agent": str(dingtalk_app.AGENT_ID),
            "feishu_app": self.feishu_app.url,
            "feishu_app_id": feishu_app.APP_ID,
            "feishu_app_secret": feishu_app.APP_SECRET,
            "feishu_app_token": feishu_app.VERIFICATION_TOKEN,
            "feishu_app_key": feishu_app.ENCRYPT_KEY,
            "telegram": self.telegram.url,
            "telegram_token": telegram.BOT_TOKEN,
            "wechat": self.wechat.url,
            "wechat_app": wechat.APP_ID,
            "wechat_secret": wechat.APP_SECRET,
            "wechat_callback_token": wechat.CALLBACK_TOKEN,
            "wechat_aes_key": wechat.ENCODING_AES_KEY,
            "wecom": self.wecom.url,
            "wecom_corp": wecom.CORP_ID,
            "wecom_secret": wecom.SECRET,
            "wecom_robot_key": wecom.ROBOT_KEY,
            "wecom_callback_token": wecom.CALLBACK_TOKEN,
            "wecom_aes_key": wecom.ENCODING_AES_KEY,
            "token": _TOKEN,
            "receipt_secret": _RECEIPT_SECRET,
            "vapid_key": _VAPID_KEY,
            "webhook_secret": _WEBHOOK_SECRET,
            "api_key": sandbox.API_KEY,
        }


def _receipts(account: str, port: int) -> str:
    """Where an account's receipts go."""
    return f"http://{HOST}:{port}/v1/receipts/{account}"


def _keyed(account: str, port: int) -> Knobs:
    return _knobs(f"{_receipts(account, port)}?key={_ADDRESS_SECRET}")


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
