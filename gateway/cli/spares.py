"""Simulators that take no part in the demo, and how all of them behave."""

from collections.abc import Mapping

from gateway.cli.ports import HOST
from gateway.sandbox import (
    base,
    dingtalk,
    dingtalk_app,
    feishu,
    feishu_app,
    getui,
    huawei,
    jpush,
    mailgun,
    postmark,
    rcs_5g,
    sendgrid,
    ses,
    slack,
    smpp,
    telegram,
    vonage_sms,
    webpush,
    wechat,
    wecom,
)
from gateway.sandbox.knobs import Knobs

#: Webhooks and messages that a simulator remembers for its control page.
LOG_LIMIT = 10_000

#: What Postmark sends along with its webhooks.
TOKEN = "sandbox-token"

#: Seconds to an answer and to a receipt, about as a quick provider takes them.
_LATENCY, _JITTER, _RECEIPT_DELAY, _RECEIPT_JITTER = 0.02, 0.03, 0.3, 0.5

#: Services that are configured with the address of receipts.
_REPORTING: Mapping[str, type[base.Simulator]] = {
    "feishu-app": feishu_app.FeishuAppSimulator,
    "getui": getui.GetuiSimulator,
    "huawei": huawei.HuaweiSimulator,
    "mailgun": mailgun.MailgunSimulator,
    "rcs-5g": rcs_5g.Rcs5gSimulator,
    "sendgrid": sendgrid.SendGridSimulator,
    "ses": ses.SesSimulator,
    "wechat": wechat.WechatSimulator,
    "wecom": wecom.WecomSimulator,
}
#: Those that are told in each request, or send none.
_OTHERS: Mapping[str, type[base.Simulator]] = {
    "centre": smpp.SmppSimulator,
    "dingtalk": dingtalk.DingtalkSimulator,
    "dingtalk-app": dingtalk_app.DingtalkAppSimulator,
    "feishu": feishu.FeishuSimulator,
    "jpush": jpush.JPushSimulator,
    "slack": slack.SlackSimulator,
    "telegram": telegram.TelegramSimulator,
    "vonage-sms": vonage_sms.VonageSmsSimulator,
    "webpush": webpush.WebPushSimulator,
}


def spares(port: int) -> Mapping[str, base.Simulator]:
    """By account. port: the gateway's public one, where receipts go."""
    return {
        **{
            name: kind(knobs=knobs(receipts(name, port)), log_limit=LOG_LIMIT)
            for name, kind in _REPORTING.items()
        },
        **{name: kind(knobs=knobs(), log_limit=LOG_LIMIT) for name, kind in _OTHERS.items()},
        "postmark": postmark.PostmarkSimulator(
            webhook_headers={"X-Webhook-Secret": TOKEN},
            knobs=knobs(receipts("postmark", port)),
            log_limit=LOG_LIMIT,
        ),
    }


def receipts(account: str, port: int) -> str:
    """Where an account's receipts go."""
    return f"http://{HOST}:{port}/v1/receipts/{account}"


def knobs(receipt_url: str = "") -> Knobs:
    """receipt_url: for services that are configured with it, not told in each request."""
    return Knobs(
        latency=_LATENCY,
        jitter=_JITTER,
        receipt_delay=_RECEIPT_DELAY,
        receipt_jitter=_RECEIPT_JITTER,
        receipt_url=receipt_url,
    )
