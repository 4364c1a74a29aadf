"""All simulators by kind, and running one until it is cancelled."""

import asyncio
from collections.abc import Callable, Mapping

from gateway.sandbox import (
    aliyun,
    apns,
    base,
    dingtalk,
    dingtalk_app,
    fast,
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

SIMULATORS: Mapping[str, type[base.Simulator]] = {
    simulator.kind: simulator
    for simulator in (
        smpp.SmppSimulator,
        smtp.SmtpSimulator,
        twilio.TwilioSimulator,
        fcm.FcmSimulator,
        http.HttpServiceSimulator,
        fast.FastHttpSimulator,
        mailgun.MailgunSimulator,
        sendgrid.SendGridSimulator,
        receiver.ReceiverSimulator,
        vonage.VonageSimulator,
        vonage_sms.VonageSmsSimulator,
        aliyun.AliyunSimulator,
        tencent.TencentSimulator,
        ses.SesSimulator,
        postmark.PostmarkSimulator,
        getui.GetuiSimulator,
        huawei.HuaweiSimulator,
        jpush.JPushSimulator,
        rcs_5g.Rcs5gSimulator,
        rcs_google.RcsGoogleSimulator,
        dingtalk.DingtalkSimulator,
        dingtalk_app.DingtalkAppSimulator,
        feishu.FeishuSimulator,
        feishu_app.FeishuAppSimulator,
        slack.SlackSimulator,
        telegram.TelegramSimulator,
        wechat.WechatSimulator,
        wecom.WecomSimulator,
        apns.ApnsSimulator,
        webpush.WebPushSimulator,
    )
}


async def run(
    kind: str,
    *,
    port: int = 0,
    control_port: int = 0,
    knobs: Knobs | None = None,
    started: Callable[[base.Simulator], None] | None = None,
    **settings: object,
) -> None:
    """Run one simulator until cancelled.

    started: called once it listens, as ports may be chosen by the system. settings: keyword
    arguments of the simulator's own. Raises KeyError for an unknown kind, TypeError for settings
    that it has not, OSError when a port is taken.
    """
    build: Callable[..., base.Simulator] = SIMULATORS[kind]
    simulator = build(knobs=knobs, port=port, control_port=control_port, **settings)
    async with simulator:
        if started is not None:
            started(simulator)
        await asyncio.Event().wait()
