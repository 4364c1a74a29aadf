"""The simulators of WeChat, WeCom and chat robots, by requests written from the documents."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import yarl
from slack_sdk.errors import SlackApiError
from slack_sdk.web import WebClient
from slack_sdk.webhook import WebhookClient
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto

from gateway.model import wire
from gateway.sandbox import dingtalk, feishu, slack, telegram, wechat, wecom
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate

Session = aiohttp.ClientSession


async def post(session: Session, url: str | yarl.URL, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json"}
    async with session.post(url, data=data, headers=headers) as response:
        return json.loads(await response.read())


async def wechat_token(session: Session, simulator: wechat.WechatSimulator, **changes: Any) -> Any:
    body = {
        "grant_type": "client_credential",
        "appid": wechat.APP_ID,
        "secret": wechat.APP_SECRET,
        **changes,
    }
    return await post(session, f"{simulator.url}/cgi-bin/stable_token", body)


def template(**changes: Any) -> dict[str, Any]:
    data = {"thing1": {"value": "登录"}}
    return {"touser": "openid", "template_id": "TM00015", "data": data, **changes}


async def test_wechat_gives_the_same_token_while_it_is_good(session: Session) -> None:
    async with wechat.WechatSimulator() as simulator:
        first, second = [await wechat_token(session, simulator) for _ in range(2)]
        forced = await wechat_token(session, simulator, force_refresh=True)
        wrong = await wechat_token(session, simulator, secret="x")

    assert first == second
    assert first["expires_in"] == 7200
    assert forced["access_token"] != first["access_token"]
    assert wrong["errcode"] == 40125


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"nonsense", 47001),
        (json.dumps(template()).encode(), 40033),
        (template(touser=""), 40003),
        (template(template_id="other"), 40037),
        (template(data=[]), 47001),
        (template(data={"thing1": {"value": ""}}), 47003),
        (template(data={"thing1": {"value": "x" * 21}}), 47003),
        (template(data={"character_string3": {"value": "x" * 33}}), 47003),
        (template(touser="gone-1"), 40003),
        (template(touser="throttled-1"), 45011),
        (template(touser="trouble-1"), -1),
        (template(), 0),
    ],
)
async def test_wechat_takes_what_keeps_its_rules(session: Session, body: Any, code: int) -> None:
    async with wechat.WechatSimulator() as simulator:
        token = (await wechat_token(session, simulator))["access_token"]
        path = f"{simulator.url}/cgi-bin/message/template/send"
        answer = await post(session, f"{path}?access_token={token}", body)
        stale = await post(session, f"{path}?access_token=stale", body)

    assert answer["errcode"] == code
    assert ("msgid" in answer) == (code == 0)
    assert stale["errcode"] == 40001


async def test_wechat_reports_so_that_an_independent_library_reads_it(
    session: Session, inbox: list[wire.HttpRequest], sink_url: str
) -> None:
    knobs = Knobs(receipt_url=f"{sink_url}/r")
    async with wechat.WechatSimulator(knobs=knobs) as simulator:
        token = (await wechat_token(session, simulator))["access_token"]
        url = f"{simulator.url}/cgi-bin/message/template/send?access_token={token}"
        answer = await post(session, url, template())
        await simulator.reporter.join()

    [request] = inbox
    query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
    crypto = WeChatCrypto(wechat.CALLBACK_TOKEN, wechat.ENCODING_AES_KEY, wechat.APP_ID)
    plain = crypto.decrypt_message(
        request.body, query["msg_signature"], query["timestamp"], query["nonce"]
    )
    event = parse_message(plain)
    assert event.event == "templatesendjobfinish"
    assert (int(event.id), event.status) == (answer["msgid"], "success")


async def test_wecom_answers_success_with_lists(session: Session) -> None:
    async with wecom.WecomSimulator() as simulator:
        ask = f"{simulator.url}/cgi-bin/gettoken?corpid={wecom.CORP_ID}&corpsecret="
        async with session.get(ask + wecom.SECRET) as response:
            token = (await response.json())["access_token"]
        async with session.get(ask + "wrong") as response:
            refused = await response.json()
        url = f"{simulator.url}/cgi-bin/message/send?access_token={token}"
        body = {
            "touser": "LiLei|gone-Jim|Unlicensed-Kate",
            "msgtype": "text",
            "agentid": wecom.AGENT_ID,
            "text": {"content": "x"},
        }
        answer = await post(session, url, body)
        nobody = await post(session, url, {**body, "touser": "gone-Jim"})
        faults = [
            (await post(session, url, {**body, **change}))["errcode"]
            for change in (
                {"touser": ""},
                {"touser": "|".join("x" * 1001)},
                {"agentid": 1},
                {"msgtype": "song"},
                {"msgtype": "textcard"},
                {"text": {"content": ""}},
            )
        ]

    assert refused["errcode"] == 40091
    assert (answer["errcode"], answer["invaliduser"]) == (0, "gone-jim")
    assert answer["unlicenseduser"] == "unlicensed-kate"
    assert nobody["errcode"] == 81013
    assert faults == [82001, 40032, 40056, 40008, 40063, 44004]
    assert simulator.log.taken == 1


async def test_wecom_robot_knows_its_key(session: Session) -> None:
    async with wecom.WecomSimulator() as simulator:
        url = f"{simulator.url}/cgi-bin/webhook/send?key="
        body = {"msgtype": "text", "text": {"content": "x"}}
        answers = [
            (await post(session, url + key, body))["errcode"] for key in ("x", wecom.ROBOT_KEY)
        ]

    assert answers == [93000, 0]


#: Of the vector: secret `SECtest` at 1,700,000,000,000 ms.
SIGN = "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g%3D"


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        (
            f"timestamp=1700000000000&sign={SIGN}",
            {"msgtype": "text", "text": {"content": "x ok"}},
            0,
        ),
        (f"timestamp=1700000000001&sign={SIGN}", {}, 310000),
        ("", {}, 310000),
        (f"timestamp=1700000000000&sign={SIGN}", {"msgtype": "text"}, 40035),
        (f"timestamp=1700000000000&sign={SIGN}", {"msgtype": "a", "a": {}}, 400105),
        (
            f"timestamp=1700000000000&sign={SIGN}",
            {"msgtype": "text", "text": {"content": "x"}},
            310000,
        ),
        (
            f"timestamp=1700000000000&sign={SIGN}",
            {"msgtype": "text", "text": {"content": "x" * 20_000}},
            460101,
        ),
    ],
)
async def test_dingtalk_takes_what_keeps_its_rules(
    session: Session, query: str, body: Any, code: int
) -> None:
    async with dingtalk.DingtalkSimulator(
        secret="SECtest", keywords=["ok"], wall=lambda: 1_700_003_600.0
    ) as simulator:
        url = f"{simulator.url}/robot/send?access_token={dingtalk.ACCESS_TOKEN}&{query}"
        answer = await post(session, yarl.URL(url, encoded=True), body)

    assert answer["errcode"] == code


async def test_dingtalk_refuses_an_old_signature(session: Session) -> None:
    async with dingtalk.DingtalkSimulator(
        secret="SECtest", wall=lambda: 1_700_003_601.0
    ) as simulator:
        url = f"{simulator.url}/robot/send?access_token={dingtalk.ACCESS_TOKEN}"
        query = f"&timestamp=1700000000000&sign={SIGN}"
        answer = await post(session, yarl.URL(url + query, encoded=True), {})

    assert answer["errmsg"] == "sign not match"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"timestamp": "1599360474"}, 19021),
        ({"sign": None}, 19021),
        ({"msg_type": "song"}, 19002),
        ({"content": {"text": ""}}, 9499),
        ({"content": {"text": "x" * 20_480}}, 9499),
    ],
)
async def test_feishu_takes_what_keeps_its_rules(
    session: Session, changes: dict[str, Any], code: int
) -> None:
    body = {
        "timestamp": "1599360473",
        "sign": "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=",
        "msg_type": "text",
        "content": {"text": "x"},
        **changes,
    }
    async with feishu.FeishuSimulator(secret="demo", wall=lambda: 1_599_364_073.0) as simulator:
        hook = f"{simulator.url}/open-apis/bot/v2/hook"
        answer = await post(session, f"{hook}/{feishu.WEBHOOK_TOKEN}", body)
        unknown = await post(session, f"{hook}/x", body)

    assert answer["code"] == code
    assert unknown["code"] == 19001


async def test_slack_understands_its_own_library() -> None:
    async with slack.SlackSimulator(knobs=Knobs(retry_after=3)) as simulator:
        hook = WebhookClient(simulator.webhook_url)
        sent = await asyncio.to_thread(hook.send, text="hi")
        empty = await asyncio.to_thread(hook.send, text="")
        slow = WebhookClient(simulator.webhook_url.replace("sandbox", "throttled-1"))
        limited = await asyncio.to_thread(slow.send, text="hi")
        gone = await asyncio.to_thread(
            WebhookClient(f"{simulator.url}/services/T/B/x").send, text="a"
        )
        client = WebClient(slack.BOT_TOKEN, base_url=f"{simulator.url}/api/")
        posted = await asyncio.to_thread(client.chat_postMessage, channel="C1", text="hi")
        with pytest.raises(SlackApiError, match="channel_not_found"):
            await asyncio.to_thread(client.chat_postMessage, channel="gone-1", text="hi")

    assert (sent.status_code, sent.body) == (200, "ok")
    assert (empty.status_code, empty.body) == (400, "no_text")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "3")
    assert (gone.status_code, gone.body) == (404, "no_service")
    assert posted["ok"] is True
    assert simulator.log.taken == 2


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (f"bot{telegram.BOT_TOKEN}/sendMessage", {"chat_id": 1, "text": "hi"}, 200),
        ("bot1:wrong/sendMessage", {"chat_id": 1, "text": "hi"}, 401),
        (f"bot{telegram.BOT_TOKEN}/sendSong", {}, 404),
        (f"bot{telegram.BOT_TOKEN}/sendMessage", {"chat_id": 1, "text": ""}, 400),
        (f"bot{telegram.BOT_TOKEN}/sendMessage", {"chat_id": 1, "text": "x" * 4097}, 400),
        (f"bot{telegram.BOT_TOKEN}/sendMessage", {"text": "x"}, 400),
        (f"bot{telegram.BOT_TOKEN}/sendMessage", b"[]", 400),
        (f"bot{telegram.BOT_TOKEN}/sendMessage", {"chat_id": "@throttled-1", "text": "x"}, 429),
        (f"bot{telegram.BOT_TOKEN}/sendMessage", {"chat_id": "blocked-1", "text": "x"}, 403),
    ],
)
async def test_telegram_takes_what_keeps_its_rules(
    session: Session, path: str, body: Any, code: int
) -> None:
    async with telegram.TelegramSimulator() as simulator:
        answer = await post(session, f"{simulator.url}/{path}", body)

    assert answer.get("error_code", 200) == code
    assert answer["ok"] is (code == 200)
    assert (answer.get("parameters") == {"retry_after": 5}) == (code == 429)


async def test_knobs_are_those_of_all_simulators(session: Session) -> None:
    async with telegram.TelegramSimulator(knobs=Knobs(throttle=1)) as simulator:
        url = f"{simulator.url}/bot{telegram.BOT_TOKEN}/sendMessage"
        answers = [await post(session, url, {"chat_id": 1, "text": "hi"}) for _ in range(2)]
        simulator.knobs.throttle = 0
        simulator.knobs.error_rate = 1
        answers.append(await post(session, url, {"chat_id": 1, "text": "hi"}))
        simulator.knobs.error_rate = 0
        simulator.knobs.lost_answer_rate = 1
        with pytest.raises(aiohttp.ClientError):
            await post(session, url, {"chat_id": 1, "text": "hi"})

    assert [one.get("error_code") for one in answers] == [None, 429, 500]
    fates = [one.fate for one in simulator.log.arrivals]
    assert fates == [Fate.TAKEN, Fate.THROTTLED, Fate.TEMPORARY, Fate.LOST]
