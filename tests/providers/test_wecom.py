"""WeCom's application messages and its group robot against recorded bytes."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from wechatpy.enterprise.crypto import WeChatCrypto

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import base, wechat_callback, wecom, wecom_robot

Make = Callable[..., Any]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

TOKEN, KEY = "123456", "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR"
CORP = "wx49f0ab532d5d035a"
URL = "https://gw.example.com/v1/receipts/main"
AT = 1411443780
RECIPIENT, MESSAGE = wire.Scope.RECIPIENT, wire.Scope.MESSAGE


@pytest.fixture(name="provider")
def fixture_provider(make: Make, clock_at: Callable[[int], Clock]) -> wecom.Provider:
    provider: wecom.Provider = make("wecom", clock=clock_at(AT))
    return provider


@pytest.fixture(name="robot")
def fixture_robot(make: Make) -> wecom_robot.Provider:
    provider: wecom_robot.Provider = make("wecom_robot")
    return provider


def to(message: Message, member: str, **content: Any) -> wire.Message:
    said = wire.Content(**{"text": "hello", **content})
    return message(id=member, to=wire.Address(wecom=member), content=said)


def body_of(request: wire.HttpRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body)
    return found


def read(
    provider: base.HttpProvider, messages: Sequence[wire.Message], answer: Any
) -> Sequence[wire.AttemptResult]:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return provider.read_response(messages, wire.HttpResponse(status=200, body=body))


def test_message_as_recorded(
    provider: wecom.Provider, message: Message, recorded_request: Request
) -> None:
    [(_, request)] = provider.build_requests([message()])

    assert request == recorded_request("wecom/send")


def test_equal_messages_share_a_call_and_others_do_not(
    provider: wecom.Provider, message: Message
) -> None:
    messages = [
        to(message, "LiLei"),
        to(message, "lilei"),
        to(message, "HanMeimei"),
        to(message, "Jim", text="other"),
    ]

    calls = provider.build_requests(messages)

    assert [body_of(request)["touser"] for _, request in calls] == [
        "LiLei|HanMeimei",
        "lilei",
        "Jim",
    ]
    assert [[one.id for one in group] for group, _ in calls] == [
        ["LiLei", "HanMeimei"],
        ["lilei"],
        ["Jim"],
    ]


def test_everybody_is_told_in_a_call_of_its_own(provider: wecom.Provider, message: Message) -> None:
    calls = provider.build_requests([to(message, one) for one in ("Jim", "@all", "Kate")])

    assert [body_of(request)["touser"] for _, request in calls] == ["Jim|Kate", "@all"]


def test_several_members_in_one_address_are_refused(
    provider: wecom.Provider, message: Message
) -> None:
    one = to(message, "Jim|Kate")

    assert provider.misfit(one.to) == "wecom: not one userid"
    assert provider.objection(one.content, one.to) == "wecom: not one userid"
    with pytest.raises(ValueError, match=r"to\.wecom: not one userid"):
        provider.build_requests([one])


def test_call_has_a_thousand_members_at_most(provider: wecom.Provider, message: Message) -> None:
    messages = [to(message, f"member{number}") for number in range(1001)]

    calls = provider.build_requests(messages)

    assert [len(group) for group, _ in calls] == [1000, 1]
    assert [body_of(request)["touser"].count("|") for _, request in calls] == [999, 0]


def test_title_and_link_make_a_card_when_it_holds_them(
    provider: wecom.Provider, message: Message
) -> None:
    def built(**changes: Any) -> dict[str, Any]:
        content = {"title": "T" * 128, "text": "d" * 512, "extra": {"link": "https://example.com"}}
        [(_, request)] = provider.build_requests([to(message, "a", **{**content, **changes})])
        return body_of(request)

    card = built()
    assert card["msgtype"] == "textcard"
    assert card["textcard"] == {
        "title": "T" * 128,
        "description": "d" * 512,
        "url": "https://example.com",
    }
    assert built(title="T" * 129)["text"]["content"].startswith("T" * 129 + "\nddd")
    assert built(text="d" * 513)["text"]["content"].endswith("d\nhttps://example.com")
    assert built(text="")["msgtype"] == "text"
    assert built(title="")["msgtype"] == "text"
    assert built(extra={})["msgtype"] == "text"


def test_text_that_would_be_cut_is_unfit(provider: wecom.Provider, message: Message) -> None:
    provider.build_requests([to(message, "a", text="界" * 682)])

    with pytest.raises(ValueError, match="longer than 2048 bytes"):
        provider.build_requests([to(message, "a", text="界" * 683)])


def test_table_names_a_type_and_cannot_name_other_recipients(
    provider: wecom.Provider, message: Message
) -> None:
    table = {
        "template": "markdown",
        "markdown": {"content": "**hi**"},
        "safe": 1,
        "toparty": "1",
        "agentid": 7,
    }

    [(_, request)] = provider.build_requests(
        [to(message, "a", provider_templates={"wecom": table})]
    )

    assert body_of(request) == {
        "safe": 1,
        "msgtype": "markdown",
        "markdown": {"content": "**hi**"},
        "touser": "a",
        "agentid": 1000002,
        "enable_duplicate_check": 1,
        "duplicate_check_interval": 60,
    }


@pytest.mark.parametrize(
    "table", [{}, {"template": "text"}, {"template": 1}, {"template": "a", "a": 1}]
)
def test_table_without_its_part_is_unfit(
    provider: wecom.Provider, message: Message, table: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"wecom\.template"):
        provider.build_requests([to(message, "a", provider_templates={"wecom": table})])


def test_duplicates_may_be_let_through(make: Make, message: Message) -> None:
    [(_, request)] = make("wecom", duplicate_window=0).build_requests([to(message, "a")])

    assert "enable_duplicate_check" not in body_of(request)


def test_token_is_asked_for_with_the_secret_and_goes_into_the_query(
    provider: wecom.Provider, recorded_request: Request, recorded_answer: Answer
) -> None:
    credential, recorded = provider.credential, recorded_request("wecom/token")
    assert credential is not None

    asked = credential.token_request()
    assert (asked.method, asked.url) == (recorded.method, recorded.url)
    token = credential.read_token(recorded_answer("wecom/answer_token"))
    assert token == wire.Token(value="accesstoken000001", expires_in=7200)
    refused = credential.read_token(recorded_answer("wecom/answer_secret"))
    assert isinstance(refused, wire.Deferred)
    assert (refused.code, refused.cause) == ("40091", wire.Cause.CREDENTIAL)


def test_success_is_not_that_of_members_on_a_list(
    provider: wecom.Provider, message: Message, recorded_answer: Answer
) -> None:
    messages = [to(message, name) for name in ("LiLei", "HanMeimei", "UserID3")]

    results = provider.read_response(messages, recorded_answer("wecom/answer_partly"))

    assert results == [
        wire.Rejected(code="invaliduser", detail="no such member", scope=RECIPIENT, suppress=True),
        wire.Accepted(provider_id="xxxx"),
        wire.Rejected(code="unlicenseduser", detail="no license", scope=RECIPIENT),
    ]


@pytest.mark.parametrize("value", [None, 7, [], {}])
def test_odd_lists_name_nobody(provider: wecom.Provider, message: Message, value: Any) -> None:
    answer = {"errcode": "0", "invaliduser": value, "msgid": value}

    assert read(provider, [to(message, "a")], answer) == [wire.Accepted()]


#: By errcode: kind, cause or scope, whether it suppresses.
TABLE: dict[tuple[int, ...], tuple[Any, ...]] = {
    (-1,): (wire.Deferred, wire.Cause.TEMPORARY),
    (40014, 42001, 41001): (wire.Deferred, wire.Cause.CREDENTIAL),
    (40001, 40013, 40091, 41002, 41004): (wire.Deferred, wire.Cause.CREDENTIAL),
    (40056, 41011, 301002, 50003, 48002, 48004, 60020): (wire.Deferred, wire.Cause.CREDENTIAL),
    (45009, 45033): (wire.Deferred, wire.Cause.THROTTLED),
    (81013, 82001, 40003, 40031, 46004, 60111, 301021, 43004): (wire.Rejected, RECIPIENT, True),
    (60011, 50002): (wire.Rejected, RECIPIENT, False),
    (40032, 82002, 82003): (wire.Rejected, MESSAGE, False),
    (40007, 40008, 40033, 40035, 40058, 40063, 41006, 41016, 41033): (
        wire.Rejected,
        MESSAGE,
        False,
    ),
    (44004, 45002, 45008, 85002, 12345): (wire.Rejected, MESSAGE, False),
}


@pytest.mark.parametrize(
    ("code", "expected"), [(code, row) for codes, row in TABLE.items() for code in codes]
)
@pytest.mark.parametrize("form", [int, str])
def test_codes_mean_what_the_documents_say(
    provider: wecom.Provider,
    message: Message,
    code: int,
    expected: tuple[Any, ...],
    form: Callable[[int], Any],
) -> None:
    [result] = read(provider, [to(message, "a")], {"errcode": form(code), "errmsg": "LiLei"})

    assert type(result) is expected[0]
    assert "LiLei" not in repr(result)
    if isinstance(result, wire.Rejected):
        assert (result.scope, result.suppress, result.code) == (*expected[1:], str(code))
    elif isinstance(result, wire.Deferred):
        assert result.cause is expected[1]
        assert (result.code == "access_token") == (code in (40014, 42001, 41001))


def test_every_code_is_in_the_table_of_the_test() -> None:
    assert set(wecom.RESULTS) | {12345} == {code for codes in TABLE for code in codes}


@pytest.mark.parametrize("code", [81013, 60111, 60011, 40032])
def test_call_refused_perhaps_for_one_member_is_made_again_apart(
    provider: wecom.Provider, message: Message, code: int
) -> None:
    messages = [to(message, "a"), to(message, "b")]

    results = read(provider, messages, {"errcode": code})

    for one in results:
        assert isinstance(one, wire.Deferred)
        assert (one.apart, one.code) == (True, str(code))


def test_content_that_is_refused_is_refused_for_all(
    provider: wecom.Provider, message: Message
) -> None:
    messages = [to(message, "a"), to(message, "b")]

    results = read(provider, messages, {"errcode": 85002})

    assert [type(one) for one in results] == [wire.Rejected] * 2


def test_limits_say_how_long_to_wait(provider: wecom.Provider, message: Message) -> None:
    results = [read(provider, [to(message, "a")], {"errcode": code})[0] for code in (45009, 45033)]

    assert [one.retry_after for one in results if isinstance(one, wire.Deferred)] == [60.0, 2.0]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errcode":null}', b"x" * 10**7])
def test_unreadable_answer_leaves_it_open(
    provider: wecom.Provider, message: Message, body: bytes
) -> None:
    results = read(provider, [to(message, "a"), to(message, "b")], body)

    assert [type(one) for one in results] == [wire.Unknown] * 2


@pytest.mark.parametrize(("status", "kind"), [(502, wire.Deferred), (404, wire.Rejected)])
def test_success_with_another_status_is_none(
    provider: wecom.Provider, message: Message, status: int, kind: type
) -> None:
    response = wire.HttpResponse(status=status, body=b'{"errcode":0,"errmsg":"ok"}')

    [result] = provider.read_response([to(message, "a")], response)

    assert type(result) is kind


def called(method: str, fields: dict[str, str], body: bytes = b"") -> wire.HttpRequest:
    return wire.HttpRequest(method=method, url=f"{URL}?{urlencode(fields)}", body=body)


def sealed(text: str) -> tuple[str, dict[str, str]]:
    """What an independent library makes of it, and the query that signs it."""
    reply = WeChatCrypto(TOKEN, KEY, CORP).encrypt_message(text, "437374425", str(AT))
    document = wechat_callback.read_xml(reply.encode())
    signature = wechat_callback.text_of(document, "MsgSignature")
    query = {"msg_signature": signature, "timestamp": str(AT), "nonce": "437374425"}
    return wechat_callback.text_of(document, "Encrypt"), query


def test_address_is_proved_by_opening_its_echo(provider: wecom.Provider) -> None:
    echo, query = sealed("1616140317555161061")

    asked = called("GET", {**query, "echostr": echo})

    assert provider.verify_receipt(asked)
    assert provider.read_receipts(asked) == []
    assert provider.read_inbound(asked) == []
    assert provider.answer_receipt(asked).body == b"1616140317555161061"
    assert not provider.verify_receipt(called("GET", {**query, "echostr": echo[4:]}))
    assert not provider.verify_receipt(called("GET", query))


def test_what_a_member_writes_is_read(provider: wecom.Provider) -> None:
    text = (
        "<xml><ToUserName>corp</ToUserName><FromUserName>LiLei</FromUserName>"
        "<CreateTime>1411443780</CreateTime><MsgType>text</MsgType><Content>T</Content>"
        "<MsgId>12</MsgId><AgentID>1000002</AgentID></xml>"
    )
    encrypted, query = sealed(text)
    body = f"<xml><ToUserName>c</ToUserName><Encrypt>{encrypted}</Encrypt></xml>".encode()

    request = called("POST", query, body)

    assert provider.verify_receipt(request)
    assert provider.read_receipts(request) == []
    [inbound] = provider.read_inbound(request)
    assert (inbound.sender, inbound.to, inbound.text) == ("LiLei", "1000002", "T")
    assert (inbound.provider_id, inbound.at is not None) == ("12", True)
    assert provider.answer_receipt(request).body == b"success"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"corp_id": ""}, "corp_id: is empty"),
        ({"secret": ""}, "secret: is empty"),
        ({"duplicate_window": 14_401}, "duplicate_window: not between 0 and 14400"),
        ({"duplicate_window": -1}, "duplicate_window: not between 0 and 14400"),
        ({"callback_token": ""}, "callback_token: needs an encoding_aes_key"),
        ({"encoding_aes_key": ""}, "callback_token: needs an encoding_aes_key"),
        ({"encoding_aes_key": "A"}, "encoding_aes_key: not an EncodingAESKey"),
        ({"agent_id": "x"}, "agent_id: not a whole number"),
    ],
)
def test_settings_that_cannot_work_are_faults(
    make: Make, changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(errors.SettingsError, match=f"providers.main.{fault}"):
        make("wecom", changes)


def test_robot_says_it_as_recorded(
    robot: wecom_robot.Provider, message: Message, recorded_request: Request
) -> None:
    [(_, request)] = robot.build_requests([message()])

    assert request == recorded_request("wecom_robot/send")


def test_table_of_the_robot_is_sent_as_it_is(robot: wecom_robot.Provider, message: Message) -> None:
    table = {"msgtype": "text", "text": {"content": "x", "mentioned_list": ["@all"]}}
    content = wire.Content(provider_templates={"wecom_robot": table})

    [(_, request)] = robot.build_requests([message(content=content)])

    assert body_of(request) == table


def test_robot_of_another_group_is_not_used(make: Make, message: Message) -> None:
    robot = make("wecom_robot", chat="ops")
    robot.build_requests([message()])

    with pytest.raises(ValueError, match=r"to\.chat"):
        robot.build_requests([message(to=wire.Address(chat="sales"))])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, wire.Accepted()),
        (
            45009,
            wire.Deferred(
                code="45009",
                detail="20 messages a minute",
                cause=wire.Cause.THROTTLED,
                retry_after=60.0,
            ),
        ),
        (93000, wire.Rejected(code="93000", detail="no such robot", scope=wire.Scope.PROVIDER)),
        *(
            (code, wire.Rejected(code=str(code), detail="content refused"))
            for code in (40008, 40058, 44004, 45002)
        ),
        (-1, wire.Deferred(code="-1", detail="busy")),
        (7, wire.Rejected(code="7", detail="unheard-of code")),
    ],
)
def test_codes_of_the_robot(
    robot: wecom_robot.Provider, message: Message, code: int, expected: wire.AttemptResult
) -> None:
    assert read(robot, [message()], {"errcode": code, "errmsg": "x"}) == [expected]


def test_robot_without_a_key_is_a_fault(make: Make) -> None:
    with pytest.raises(errors.SettingsError, match="webhook_key: is empty"):
        make("wecom_robot", webhook_key="")
