"""Alibaba Cloud SMS against recorded bytes and the signer of its own SDK."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from alibabacloud_tea_openapi.utils import Utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import aliyun, aliyun_codes, mainland

Make = Callable[..., aliyun.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

HOME, OTHER, THIRD = "+8615300000001", "+8615300000002", "+8615300000003"
BIZ_ID = "900619746936498440^0"
REFERENCE = "0195500a-5c00-7000-8000-%012d-0-0-0"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> aliyun.Provider:
    return make("aliyun")


@pytest.fixture(name="sms")
def fixture_sms(message: Message) -> Message:
    """A message with a template, to a number of the mainland unless it says otherwise."""

    def build(phone: str = HOME, number: int = 1, **table: Any) -> wire.Message:
        whole = {"template": "SMS_71390007", "params": {"code": "4711"}, **table}
        content = wire.Content(provider_templates={"aliyun": whole})
        reference = REFERENCE % number
        return message(to=wire.Address(phone=phone), content=content, reference=reference)

    return build


def parameters(request: wire.HttpRequest) -> dict[str, str]:
    """Of the query and the body."""
    both = f"{urlsplit(request.url).query}&{request.body.decode()}"
    return {name: values[0] for name, values in parse_qs(both, strict_parsing=False).items()}


def read(
    provider: aliyun.Provider, messages: Sequence[wire.Message], answer: Any, status: int = 200
) -> Sequence[wire.AttemptResult]:
    response = wire.HttpResponse(status=status, body=orjson.dumps(answer))
    return provider.read_response(messages, response)


def push(body: bytes) -> wire.HttpRequest:
    return wire.HttpRequest(method="POST", url="https://gw.example.com/r", body=body)


def test_request_is_as_recorded(
    provider: aliyun.Provider, sms: Message, recorded_request: Request
) -> None:
    [(carried, request)] = provider.build_requests([sms()])

    assert carried == (sms(),)
    assert request == recorded_request("aliyun/send")


def test_batch_is_as_recorded(
    provider: aliyun.Provider, sms: Message, recorded_request: Request
) -> None:
    messages = [sms(HOME, 1, params={"code": "a b"}), sms(OTHER, 2, params={"code": "c*~"})]

    [(carried, request)] = provider.build_requests(messages)

    assert list(carried) == messages
    assert request == recorded_request("aliyun/send_batch")
    assert parameters(request) == {
        "TemplateCode": "SMS_71390007",
        "PhoneNumberJson": '["15300000001","15300000002"]',
        "SignNameJson": '["阿里云短信测试专用","阿里云短信测试专用"]',
        "TemplateParamJson": '[{"code":"a b"},{"code":"c*~"}]',
    }


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(code=st.text(max_size=12), sign=st.text(min_size=1, max_size=6), count=st.integers(1, 2))
def test_sdk_signs_the_same_request_the_same(
    provider: aliyun.Provider, sms: Message, code: str, sign: str, count: int
) -> None:
    numbers = [HOME, OTHER][:count]
    messages = [sms(one, sign=sign, params={"code": code}) for one in numbers]

    [(_, request)] = provider.build_requests(messages)

    headers = dict(request.headers)
    offered = headers.pop("authorization")
    query = {
        name: values[0]
        for name, values in parse_qs(urlsplit(request.url).query, keep_blank_values=True).items()
    }
    twin = SimpleNamespace(method="POST", pathname="/", query=query, headers=headers)
    payload = Utils.hash(request.body, "ACS3-HMAC-SHA256").hex()
    key = ("YourAccessKeyId", "YourAccessKeySecret")
    assert headers["x-acs-content-sha256"] == payload
    assert offered == Utils.get_authorization(twin, "ACS3-HMAC-SHA256", payload, *key)


def test_options_of_the_account_are_sent_and_signed(make: Make, sms: Message) -> None:
    options = {"security_token": "sts", "extend_code": "07", "sign": ""}
    provider = make("aliyun", options, base_url="http://127.0.0.1:8081/")

    [(_, single)] = provider.build_requests([sms(sign="Own")])
    [(_, batch)] = provider.build_requests([sms(HOME, sign="甲"), sms(OTHER, sign="乙")])

    assert single.url.startswith("http://127.0.0.1:8081/?OutId=")
    assert single.headers["host"] == "127.0.0.1:8081"
    assert single.headers["x-acs-security-token"] == "sts"
    assert "x-acs-security-token;" in single.headers["authorization"] + ";"
    assert (parameters(single)["SignName"], parameters(single)["SmsUpExtendCode"]) == ("Own", "07")
    assert parameters(batch)["SignNameJson"] == '["甲","乙"]'
    assert parameters(batch)["SmsUpExtendCodeJson"] == '["07","07"]'


def test_calls_hold_one_template_and_a_hundred_messages(
    provider: aliyun.Provider, sms: Message
) -> None:
    many = [sms(f"+86153{at:08d}", at) for at in range(101)]
    other = sms(THIRD, 101, template="SMS_2")

    built = provider.build_requests([*many, other])

    assert [len(carried) for carried, _ in built] == [100, 1, 1]
    actions = [request.headers["x-acs-action"] for _, request in built]
    assert actions == ["SendBatchSms", "SendSms", "SendSms"]
    assert len({request.headers["x-acs-signature-nonce"] for _, request in built}) == 3


def test_nonce_is_another_at_the_next_try(
    make: Make, sms: Message, clock_at: Callable[[int], Clock]
) -> None:
    built = [make("aliyun", clock=clock_at(at)).build_requests([sms()]) for at in (10, 10, 11)]
    nonces = [request.headers["x-acs-signature-nonce"] for [(_, request)] in built]

    assert nonces[0] == nonces[1] != nonces[2]


@pytest.mark.parametrize(
    ("phone", "sent"),
    [
        (HOME, "15300000001"),
        ("+85251234567", "85251234567"),
        ("+12025550123", "12025550123"),
        ("+861012345678", "861012345678"),
        ("+15005550009", "0015005550009"),
    ],
)
def test_number_abroad_never_looks_like_a_mobile_at_home(
    provider: aliyun.Provider, sms: Message, phone: str, sent: str
) -> None:
    [(_, request)] = provider.build_requests([sms(phone)])

    assert parameters(request)["PhoneNumbers"] == sent


def test_message_without_template_goes_alone_and_names_none(
    provider: aliyun.Provider, sms: Message
) -> None:
    built = provider.build_requests([sms(HOME), sms(OTHER, 2, template=""), sms(THIRD, 3)])

    assert [len(carried) for carried, _ in built] == [2, 1]
    assert "TemplateCode" not in parameters(built[1][1])
    with pytest.raises(ValueError, match=r"aliyun\.template"):
        provider.build_requests([sms(template="")])


def test_taken_message_has_an_id_that_its_report_will_have(
    provider: aliyun.Provider, sms: Message, recorded_answer: Answer, recorded_request: Request
) -> None:
    results = provider.read_response([sms()], recorded_answer("aliyun/answer_taken"))
    request = recorded_request("aliyun/report")

    receipts = provider.read_receipts(request)

    assert provider.verify_receipt(request)
    [result], [receipt] = results, receipts
    assert isinstance(result, wire.Accepted)
    assert receipt == wire.DeliveryReceipt(
        event=wire.ReceiptEvent.DELIVERED,
        provider_id=result.provider_id,
        reference=REFERENCE % 1,
        code="DELIVERED",
        at=datetime(2026, 1, 2, 3, 4, 9, tzinfo=UTC),
    )
    assert result.provider_id.startswith(f"{BIZ_ID}/")
    assert "15300000001" not in result.provider_id


def test_members_of_a_batch_have_ids_of_their_own(provider: aliyun.Provider, sms: Message) -> None:
    messages = [sms(HOME), sms(OTHER, 2)]

    results = read(provider, messages, {"Code": "OK", "BizId": BIZ_ID})

    body = [{"biz_id": BIZ_ID, "phone_number": f"1530000000{at}", "success": True} for at in (1, 2)]
    receipts = provider.read_receipts(push(orjson.dumps(body)))
    ids = [one.provider_id for one in results if isinstance(one, wire.Accepted)]
    assert ids == [one.provider_id for one in receipts]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"Code": "OK"}),
        (200, {"Code": "OK", "BizId": ""}),
        (200, {"Code": "OK", "BizId": 7}),
        (500, {"Code": "OK", "BizId": BIZ_ID}),
        (200, {}),
        (200, []),
        (200, {"Code": {"a": 1}}),
        (400, {"Code": "SignatureNonceUsed"}),
    ],
)
def test_answer_that_tells_nothing_for_certain_is_unknown(
    provider: aliyun.Provider, sms: Message, status: int, answer: Any
) -> None:
    [one] = read(provider, [sms()], answer, status)

    assert isinstance(one, wire.Unknown)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"Code": "OK", "BizId"', b"\xff", b" " * 10_000_000]
)
def test_unreadable_answer_goes_by_its_status(
    provider: aliyun.Provider, sms: Message, body: bytes
) -> None:
    responses = [wire.HttpResponse(status=status, body=body) for status in (200, 403, 429, 502)]

    results = [provider.read_response([sms()], one)[0] for one in responses]

    assert results == [
        wire.Unknown(code="http_200", detail="answer without Code"),
        wire.Deferred(code="http_403", cause=wire.Cause.CREDENTIAL),
        wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED),
        wire.Deferred(code="http_502", cause=wire.Cause.TEMPORARY),
    ]


CAUSES = {
    wire.Cause.THROTTLED: (
        "isv.DAY_LIMIT_CONTROL isv.MONTH_LIMIT_CONTROL QPS_LIMIT_CONTROL Throttling"
        " Throttling.User Throttling.Api Throttling.Other"
    ),
    wire.Cause.RECIPIENT: "isv.BUSINESS_LIMIT_CONTROL",
    wire.Cause.TEMPORARY: (
        "isp.SYSTEM_ERROR isp.GATEWAY_ERROR IS_CLOSE InternalError ServiceUnavailable isp.NEW"
    ),
    wire.Cause.CREDENTIAL: (
        "SignatureDoesNotMatch IncompleteSignature InvalidTimeStamp.Expired"
        " InvalidAccessKeyId.NotFound InvalidAccessKeyId.Inactive isp.RAM_PERMISSION_DENY"
        " isv.DENY_IP_RANGE isv.OUT_OF_SERVICE isv.AMOUNT_NOT_ENOUGH isv.PRODUCT_UN_SUBSCRIPT"
        " isv.PRODUCT_UNSUBSCRIBE isv.ACCOUNT_NOT_EXISTS isv.ACCOUNT_ABNORMAL"
        " isv.SECURITY_FROZEN_ACCOUNT"
    ),
}


@pytest.mark.parametrize(
    ("code", "cause"), [(code, cause) for cause, codes in CAUSES.items() for code in codes.split()]
)
def test_deferring_codes(
    provider: aliyun.Provider, sms: Message, code: str, cause: wire.Cause
) -> None:
    [one] = read(provider, [sms()], {"Code": code, "Message": "x"})

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == (code, cause)


REFUSALS = {
    (wire.Scope.RECIPIENT, True): "isv.CUSTOMER_REFUSED",
    (wire.Scope.RECIPIENT, False): "isv.MOBILE_NUMBER_ILLEGAL isv.MOBILE_COUNT_OVER_LIMIT",
    (wire.Scope.PROVIDER, False): (
        "isv.DOMESTIC_NUMBER_NOT_SUPPORTED isv.SMS_SIGNATURE_ILLEGAL isv.SMS_SIGN_ILLEGAL"
        " isv.SIGN_STATE_ILLEGAL SIGNATURE_BLACKLIST isv.SMS_TEMPLATE_ILLEGAL"
        " isv.SMS_SIGNATURE_SCENE_ILLEGAL isv.TEMPLATE_MISSING_PARAMETERS"
        " isv.TEMPLATE_PARAMS_ILLEGAL isv.SMS_TEST_NUMBER_LIMIT MissingPhoneNumbers"
        " MissingTemplateCode InvalidAction.NotFound InvalidVersion UNHEARD_OF"
    ),
    (wire.Scope.MESSAGE, False): (
        "isv.SMS_CONTENT_ILLEGAL isv.BLACK_KEY_CONTROL_LIMIT isv.PARAM_LENGTH_LIMIT"
        " isv.PARAM_NOT_SUPPORT_URL isv.INVALID_JSON_PARAM isv.INVALID_PARAMETERS"
        " isv.UNSUPPORTED_CONTENT isv.EXTEND_CODE_ERROR PARAMS_ILLEGAL isv.NEW"
    ),
}


@pytest.mark.parametrize(
    ("code", "scope", "suppress"),
    [(code, *kind) for kind, codes in REFUSALS.items() for code in codes.split()],
)
def test_refusing_codes(
    provider: aliyun.Provider, sms: Message, code: str, scope: wire.Scope, suppress: bool
) -> None:
    [one] = read(provider, [sms()], {"Code": code, "Message": "15300000001"})

    assert isinstance(one, wire.Rejected)
    assert (one.code, one.scope, one.suppress) == (code, scope, suppress)
    assert "1530" not in one.detail


def test_all_codes_of_the_tables_are_tested() -> None:
    tested = " ".join([*CAUSES.values(), *REFUSALS.values()]).split()

    assert aliyun_codes.RESULTS.keys() <= set(tested)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, wire.Deferred(code="New.Code", cause=wire.Cause.CREDENTIAL)),
        (429, wire.Deferred(code="New.Code", cause=wire.Cause.THROTTLED)),
        (503, wire.Deferred(code="New.Code", cause=wire.Cause.TEMPORARY)),
        (400, wire.Rejected(code="New.Code")),
    ],
)
def test_unheard_of_code_of_the_gateway_goes_by_the_status(
    provider: aliyun.Provider, sms: Message, status: int, expected: wire.AttemptResult
) -> None:
    assert read(provider, [sms()], {"Code": "New.Code"}, status) == [expected]


def test_recorded_refusals(
    provider: aliyun.Provider, sms: Message, recorded_answer: Answer
) -> None:
    answers = [recorded_answer(f"aliyun/answer_{name}") for name in ("flow_control", "signature")]

    results = [provider.read_response([sms()], one)[0] for one in answers]

    assert [type(one) for one in results] == [wire.Deferred, wire.Deferred]
    assert [one.code for one in results if isinstance(one, wire.Deferred)] == [
        "isv.BUSINESS_LIMIT_CONTROL",
        "SignatureDoesNotMatch",
    ]


#: 2026-03-01 20:59:30 in Beijing.
AT = int(datetime(2026, 3, 1, 12, 59, 30, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("code", "text", "headers", "wait"),
    [
        ("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1", {}, 30.0),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发小时级流控Permits:5", {}, 30.0),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:10", {}, 86_400.0),
        ("isv.BUSINESS_LIMIT_CONTROL", "something else", {}, None),
        ("isv.DAY_LIMIT_CONTROL", "", {}, 3 * 3600 + 30.0),
        ("isv.MONTH_LIMIT_CONTROL", "", {}, 30 * 86_400 + 3 * 3600 + 30.0),
        ("Throttling.User", "", {"x-acs-retry-after": "1500"}, 1.5),
        ("Throttling.User", "", {"x-acs-retry-after": "soon", "retry-after": "7"}, 7.0),
        ("Throttling.Api", "", {}, None),
    ],
)
def test_limits_say_how_long_to_wait(
    make: Make,
    sms: Message,
    clock_at: Callable[[int], Clock],
    code: str,
    text: str,
    headers: dict[str, str],
    wait: float | None,
) -> None:
    body = orjson.dumps({"Code": code, "Message": text})
    response = wire.HttpResponse(status=400, headers=headers, body=body)

    [one] = make("aliyun", clock=clock_at(AT)).read_response([sms()], response)

    assert isinstance(one, wire.Deferred)
    assert one.retry_after == wait


@pytest.mark.parametrize(
    "code",
    [
        "isv.MOBILE_NUMBER_ILLEGAL",
        "isv.CUSTOMER_REFUSED",
        "isv.BUSINESS_LIMIT_CONTROL",
        "isv.BLACK_KEY_CONTROL_LIMIT",
        "isv.TEMPLATE_MISSING_PARAMETERS",
        "UNHEARD_OF",
    ],
)
def test_refusal_for_one_of_a_batch_condemns_none(
    provider: aliyun.Provider, sms: Message, code: str
) -> None:
    results = read(provider, [sms(HOME), sms(OTHER, 2)], {"Code": code, "Message": "天级"})

    assert results == [mainland.of_a_batch(code)] * 2


@pytest.mark.parametrize(
    "code",
    ["isv.SMS_TEMPLATE_ILLEGAL", "isv.SMS_SIGNATURE_ILLEGAL", "InvalidVersion", "MissingSignName"],
)
def test_refusal_that_is_about_all_of_a_batch_is_that_of_each(
    provider: aliyun.Provider, sms: Message, code: str
) -> None:
    results = read(provider, [sms(HOME), sms(OTHER, 2)], {"Code": code})

    assert [type(one) for one in results] == [wire.Rejected] * 2


def test_refused_signature_may_be_one_of_several(provider: aliyun.Provider, sms: Message) -> None:
    messages = [sms(HOME, sign="甲"), sms(OTHER, 2)]

    results = read(provider, messages, {"Code": "isv.SMS_SIGNATURE_ILLEGAL"})

    assert results == [mainland.of_a_batch("isv.SMS_SIGNATURE_ILLEGAL")] * 2


def test_trouble_and_throttling_of_a_batch_are_those_of_each(
    provider: aliyun.Provider, sms: Message
) -> None:
    for code in ("isp.SYSTEM_ERROR", "Throttling.User"):
        alone = read(provider, [sms()], {"Code": code})

        assert read(provider, [sms(HOME), sms(OTHER, 2)], {"Code": code}) == [*alone, *alone]


@pytest.mark.parametrize(
    ("success", "code", "event", "suppress"),
    [
        (True, "DELIVERED", wire.ReceiptEvent.DELIVERED, False),
        (False, "REQUEST_SUCCESS", wire.ReceiptEvent.SENT, False),
        (False, "USER_REJECT", wire.ReceiptEvent.OPTED_OUT, True),
        (False, "MOBILE_IN_BLACK", wire.ReceiptEvent.OPTED_OUT, True),
        (False, "CONTENT_KEYWORD", wire.ReceiptEvent.FAILED, False),
        (False, "CONTENT_ERROR", wire.ReceiptEvent.FAILED, False),
        (False, "PORT_NOT_REGISTERED", wire.ReceiptEvent.FAILED, False),
        (False, "MOBILE_SEND_LIMIT", wire.ReceiptEvent.FAILED, False),
        (False, "MOBILE_NOT_ON_SERVICE", wire.ReceiptEvent.FAILED, False),
        (False, "MOBLLE_TERMINAL_ERROR", wire.ReceiptEvent.FAILED, False),
        (False, "INVALID_NUMBER", wire.ReceiptEvent.FAILED, True),
        (False, "MOBILE_ACCOUNT_ABNORMAL", wire.ReceiptEvent.FAILED, False),
        (False, "NO_ROUTE", wire.ReceiptEvent.FAILED, False),
        (False, "SP_NOT_BY_INTER_SMS", wire.ReceiptEvent.FAILED, False),
        (False, "SP_UNKNOWN_ERROR", wire.ReceiptEvent.FAILED, False),
        (False, "UNHEARD_OF", wire.ReceiptEvent.FAILED, False),
        (None, "DELIVERED", wire.ReceiptEvent.UNKNOWN, False),
        (1, "DELIVERED", wire.ReceiptEvent.UNKNOWN, False),
    ],
)
def test_codes_of_reports(
    provider: aliyun.Provider,
    success: object,
    code: str,
    event: wire.ReceiptEvent,
    suppress: bool,
) -> None:
    row = {"biz_id": "1^0", "phone_number": "15300000001", "success": success, "err_code": code}

    [receipt] = provider.read_receipts(
        push(orjson.dumps([{**row, "err_msg": "to 15300000001", "out_id": None}]))
    )

    assert (receipt.event, receipt.code, receipt.suppress) == (event, code, suppress)
    assert "1530" not in receipt.detail
    assert receipt.reference == ""


@pytest.mark.parametrize(
    ("status", "event"),
    [
        ("1", wire.ReceiptEvent.DELIVERED),
        ("2", wire.ReceiptEvent.FAILED),
        ("6", wire.ReceiptEvent.EXPIRED),
        ("9", wire.ReceiptEvent.UNKNOWN),
    ],
)
def test_reports_on_messages_abroad(
    provider: aliyun.Provider, status: str, event: wire.ReceiptEvent
) -> None:
    row = {
        "To": "85251234567",
        "Status": status,
        "MessageId": "1^0",
        "ErrorCode": "UNDELIV",
        "ReceiveDate": "Fri, 02 Jan 2026 11:04:09 +0800",
    }

    [receipt] = provider.read_receipts(push(orjson.dumps([row])))

    assert (receipt.event, receipt.code) == (event, "UNDELIV")
    assert receipt.at == datetime(2026, 1, 2, 3, 4, 9, tzinfo=UTC)
    assert receipt.provider_id == aliyun.provider_id("1^0", "+85251234567")


def test_one_unreadable_report_does_not_hurt_the_others(provider: aliyun.Provider) -> None:
    good = {"biz_id": "1^0", "phone_number": 15300000001, "success": True}

    receipts = provider.read_receipts(push(orjson.dumps([None, {}, {"biz_id": "1^0"}, good])))

    assert [one.provider_id for one in receipts] == [aliyun.provider_id("1^0", HOME)]


@pytest.mark.parametrize("body", [b"", b"x", b"{}", b"[7]", b"null", b'[{"biz_id": "1"}]'])
def test_push_without_a_report_is_unreadable(provider: aliyun.Provider, body: bytes) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(push(body))


def test_replies_are_read_apart_from_reports(
    provider: aliyun.Provider, recorded_request: Request
) -> None:
    replies, report = recorded_request("aliyun/replies"), recorded_request("aliyun/report")

    assert provider.read_inbound(replies) == [
        wire.InboundMessage(
            sender=HOME,
            to="10690001",
            text="R",
            provider_id="1234567890",
            at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        ),
        wire.InboundMessage(
            sender=OTHER,
            to="10690001",
            text="谢谢",
            provider_id="1234567891",
            at=datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
        ),
    ]
    assert provider.read_receipts(replies) == []
    assert provider.read_inbound(report) == []


def test_reply_without_sender_is_unreadable(provider: aliyun.Provider) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_inbound(push(b'[{"content": "R", "sequence_id": "1"}]'))


def test_report_from_an_address_without_the_secret_is_refused(
    provider: aliyun.Provider, make: Make, recorded_request: Request
) -> None:
    request = recorded_request("aliyun/report")

    assert not provider.verify_receipt(replace(request, url="https://gw.example.com/r?key=guess"))
    open_account = make("aliyun", receipt_secret="")
    assert not open_account.verify_receipt(request)
    assert not open_account.reports
    assert provider.reports == {wire.ReceiptEvent.DELIVERED}


def test_reports_are_answered_with_a_number_in_code(
    provider: aliyun.Provider, recorded_request: Request
) -> None:
    answer = provider.answer_receipt(recorded_request("aliyun/report"))

    assert answer.status == 200
    assert json.loads(answer.body) == {"code": 0, "msg": "成功"}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"access_key_id": ""}, "providers.main.access_key_id: is empty"),
        ({"access_key_secret": ""}, "providers.main.access_key_secret: is empty"),
        ({"receipt_secret": "short"}, "providers.main.receipt_secret: shorter than 16"),
        ({"base_url": "dysmsapi.aliyuncs.com"}, "providers.main.base_url: not an address"),
    ],
)
def test_settings_that_cannot_work_are_faults(
    make: Make, changes: dict[str, str], fault: str
) -> None:
    with pytest.raises(errors.SettingsError, match=fault):
        make("aliyun", changes)
