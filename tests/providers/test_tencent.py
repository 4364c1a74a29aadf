"""Tencent Cloud SMS against recorded bytes; its signature is tested in `test_signatures.py`."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson
import pytest
from tencentcloud.common.sign import Sign
from tencentcloud.sms.v20210111 import models

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import mainland, tencent, tencent_codes

Make = Callable[..., tencent.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

HOME, OTHER, ABROAD = "+8618501234444", "+8618501234445", "+15005550009"
SERIAL = "5000:1045710669157053657849499619"
REFERENCE = "0195500a-5c00-7000-8000-%012d-0-0-0"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> tencent.Provider:
    return make("tencent")


@pytest.fixture(name="sms")
def fixture_sms(message: Message) -> Message:
    """A message with a template, to a number of the mainland unless it says otherwise."""

    def build(phone: str = HOME, number: int = 1, **table: Any) -> wire.Message:
        whole = {"template": "1110", "params": {"code": "1234", "minutes": "5"}, **table}
        content = wire.Content(provider_templates={"tencent": whole})
        reference = REFERENCE % number
        return message(to=wire.Address(phone=phone), content=content, reference=reference)

    return build


def fields(request: wire.HttpRequest) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(request.body)
    return found


def entry(phone: str, code: str = "Ok", serial: str = SERIAL) -> dict[str, Any]:
    return {"SerialNo": serial, "PhoneNumber": phone, "Code": code, "Message": phone}


def read(
    provider: tencent.Provider, messages: Sequence[wire.Message], answer: Any, status: int = 200
) -> Sequence[wire.AttemptResult]:
    response = wire.HttpResponse(status=status, body=orjson.dumps({"Response": answer}))
    return provider.read_response(messages, response)


def of_number(provider: tencent.Provider, message: wire.Message, code: str) -> wire.AttemptResult:
    [one] = read(provider, [message], {"SendStatusSet": [entry(HOME, code, "")]})
    return one


def of_call(provider: tencent.Provider, message: wire.Message, code: str) -> wire.AttemptResult:
    [one] = read(provider, [message], {"Error": {"Code": code, "Message": HOME}})
    return one


def push(value: Any) -> wire.HttpRequest:
    url = "https://gw.example.com/r"
    return wire.HttpRequest(method="POST", url=url, body=orjson.dumps(value))


def test_request_is_as_recorded(
    provider: tencent.Provider, sms: Message, recorded_request: Request
) -> None:
    [(carried, request)] = provider.build_requests([sms()])

    assert carried == (sms(),)
    assert request == recorded_request("tencent/send")


def test_request_of_the_published_moment_has_its_signature(
    make: Make, sms: Message, clock_at: Callable[[int], Clock]
) -> None:
    provider = make("tencent", clock=clock_at(1551113065))
    one = replace(sms(), reference="m-42")

    [(_, request)] = provider.build_requests([one])

    found = request.headers["authorization"].rpartition("=")[2]
    assert found == "9c8e6deb2d290641caf7e296ed0b77de038c2e0a5107404e4c250812046f5b02"


def test_sdk_signs_the_same_request_the_same(provider: tencent.Provider, sms: Message) -> None:
    [(_, request)] = provider.build_requests([sms()])

    headers = request.headers
    lines = [f"content-type:{headers['content-type']}", "host:sms.tencentcloudapi.com"]
    named = "content-type;host;x-tc-action"
    body = sha256(request.body).hexdigest()
    canonical = "\n".join(["POST", "/", "", *lines, "x-tc-action:sendsms", "", named, body])
    date, seconds = "2026-03-01", headers["x-tc-timestamp"]
    digest = sha256(canonical.encode()).hexdigest()
    text = f"TC3-HMAC-SHA256\n{seconds}\n{date}/sms/tc3_request\n{digest}"
    expected = Sign.sign_tc3("Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", date, "sms", text)
    assert headers["authorization"].endswith(f"SignedHeaders={named}, Signature={expected}")


def test_fields_are_those_of_the_sdk(make: Make, sms: Message) -> None:
    provider = make("tencent", extend_code="07", sender_id="Example", token="sts")
    [(_, request)] = provider.build_requests([sms(ABROAD)])

    model: Any = models.SendSmsRequest()
    model._deserialize(fields(request))

    assert model.PhoneNumberSet == [ABROAD]
    assert (model.SmsSdkAppId, model.TemplateId) == ("1400006666", "1110")
    assert (model.SignName, model.TemplateParamSet) == ("腾讯云", ["1234", "5"])
    assert (model.ExtendCode, model.SenderId) == ("07", "Example")
    assert model.SessionContext == REFERENCE % 1
    assert request.headers["x-tc-token"] == "sts"


@pytest.mark.parametrize(
    ("params", "values"),
    [
        ({"code": "a", "minutes": "b"}, ["a", "b"]),
        ({"10": "c", "2": "b", "1": "a"}, ["a", "b", "c"]),
        (["a", "b"], ["a", "b"]),
        ({"1": "a", "code": "b"}, ["a", "b"]),
    ],
)
def test_parameters_are_in_the_order_of_the_template(
    provider: tencent.Provider, sms: Message, params: Any, values: list[str]
) -> None:
    [(_, request)] = provider.build_requests([sms(params=params)])

    assert fields(request)["TemplateParamSet"] == values


def test_nothing_empty_is_sent_and_no_sender_at_home(make: Make, sms: Message) -> None:
    provider = make("tencent", sender_id="Example")

    [(_, request)] = provider.build_requests([sms(params={})])

    assert fields(request) == {
        "PhoneNumberSet": [HOME],
        "SmsSdkAppId": "1400006666",
        "SignName": "腾讯云",
        "TemplateId": "1110",
        "SessionContext": REFERENCE % 1,
    }


def test_a_call_says_the_same_to_two_hundred_numbers_of_one_region(
    provider: tencent.Provider, sms: Message
) -> None:
    many = [sms(f"+86185{at:08d}", at) for at in range(201)]
    others = [
        sms("+8618600000001", 201, params={"code": "other", "minutes": "5"}),
        sms("+8618600000002", 202, sign="Other"),
        sms("+8618600000003", 203, template="1111"),
        sms(ABROAD, 204),
    ]

    built = provider.build_requests([*many, *others])

    assert [len(carried) for carried, _ in built] == [200, 1, 1, 1, 1, 1]
    assert fields(built[0][1])["PhoneNumberSet"] == [one.to.phone for one in many[:200]]
    assert "SessionContext" not in fields(built[0][1])


def test_message_without_template_goes_alone_and_names_none(
    provider: tencent.Provider, sms: Message
) -> None:
    bad = replace(sms("+8618600000001", 2), content=wire.Content(text="x"))

    built = provider.build_requests([sms(), bad, sms(OTHER, 3)])

    assert [len(carried) for carried, _ in built] == [2, 1]
    assert "TemplateId" not in fields(built[1][1])
    with pytest.raises(ValueError, match="no template of tencent"):
        provider.build_requests([bad])


def test_taken_message_has_the_serial_number_of_its_report(
    provider: tencent.Provider, sms: Message, recorded_answer: Answer, recorded_request: Request
) -> None:
    results = provider.read_response([sms()], recorded_answer("tencent/answer_sent"))
    request = recorded_request("tencent/report")

    receipts = provider.read_receipts(request)

    assert provider.verify_receipt(request)
    assert results == [wire.Accepted(provider_id=SERIAL)]
    assert receipts == [
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.DELIVERED,
            provider_id=SERIAL,
            code="DELIVRD",
            at=datetime(2015, 10, 17, 0, 3, 4, tzinfo=UTC),
        )
    ]


def test_recorded_refusals(
    provider: tencent.Provider, sms: Message, recorded_answer: Answer
) -> None:
    answers = [recorded_answer(f"tencent/answer_{name}") for name in ("params", "signature")]

    results = [provider.read_response([sms()], one)[0] for one in answers]

    params = "FailedOperation.TemplateParamSetNotMatchApprovedTemplate"
    assert results == [
        wire.Rejected(
            code=params, detail="signature or template refused", scope=wire.Scope.PROVIDER
        ),
        wire.Deferred(
            code="AuthFailure.SignatureFailure",
            detail="key or account refused",
            cause=wire.Cause.CREDENTIAL,
        ),
    ]


def test_each_number_has_its_own_result_in_whatever_order_they_come(
    provider: tencent.Provider, sms: Message
) -> None:
    messages = [sms(HOME), sms(OTHER, 2), sms("+8618501234446", 3), sms("+8618501234447", 4)]
    rows = [
        entry("+8618501234446", "FailedOperation.PhoneNumberInBlacklist", ""),
        None,
        entry("18501234445", serial="5000:2"),
        entry(HOME, serial="5000:1"),
        entry("+8618599999999", serial="5000:9"),
    ]

    results = read(provider, messages, {"SendStatusSet": rows})

    assert results[:2] == [wire.Accepted(provider_id="5000:1"), wire.Accepted(provider_id="5000:2")]
    assert isinstance(results[2], wire.Rejected)
    assert (results[2].scope, results[2].suppress) == (wire.Scope.RECIPIENT, True)
    assert isinstance(results[3], wire.Unknown)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"SendStatusSet": {}},
        {"SendStatusSet": []},
        {"SendStatusSet": [7]},
        {"SendStatusSet": [{"PhoneNumber": HOME}]},
        {"SendStatusSet": [entry(HOME, serial="")]},
        {"SendStatusSet": [entry(HOME, "a text that is no code")]},
        {"Error": "x"},
        {"Error": {"Code": 7}},
    ],
)
def test_answer_that_tells_nothing_for_certain_is_unknown(
    provider: tencent.Provider, sms: Message, answer: Any
) -> None:
    [one] = read(provider, [sms()], answer)

    assert isinstance(one, wire.Unknown)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"Response"', b"\xff", b" " * 10_000_000])
def test_unreadable_answer_goes_by_its_status(
    provider: tencent.Provider, sms: Message, body: bytes
) -> None:
    responses = [wire.HttpResponse(status=status, body=body) for status in (200, 403, 429, 502)]

    results = [provider.read_response([sms()], one)[0] for one in responses]

    assert results == [
        wire.Unknown(code="http_200", detail="answer without Response"),
        wire.Deferred(code="http_403", cause=wire.Cause.CREDENTIAL),
        wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED),
        wire.Deferred(code="http_502", cause=wire.Cause.TEMPORARY),
    ]


def test_statuses_in_an_answer_that_failed_are_not_believed(
    provider: tencent.Provider, sms: Message
) -> None:
    [one] = read(provider, [sms()], {"SendStatusSet": [entry(HOME)]}, 502)

    assert one == wire.Deferred(code="http_502", cause=wire.Cause.TEMPORARY)


CAUSES = {
    wire.Cause.THROTTLED: """
        RequestLimitExceeded RequestLimitExceeded.IPLimitExceeded
        RequestLimitExceeded.UinLimitExceeded RequestLimitExceeded.GlobalRegionUinLimitExceeded
        LimitExceeded.GlobalSmsSendingRateLimit LimitExceeded.DailyLimit
        LimitExceeded.AppDailyLimit LimitExceeded.AppMainlandChinaDailyLimit
        LimitExceeded.AppGlobalDailyLimit LimitExceeded.AppCountryOrRegionDailyLimit
        """,
    wire.Cause.RECIPIENT: """
        LimitExceeded.PhoneNumberThirtySecondLimit LimitExceeded.PhoneNumberOneHourLimit
        LimitExceeded.PhoneNumberDailyLimit LimitExceeded.PhoneNumberSameContentDailyLimit
        LimitExceeded.DeliveryFrequencyLimit FailedOperation.MarketingSendTimeConstraint
        """,
    wire.Cause.TEMPORARY: """
        InternalError InternalError.Timeout InternalError.SendAndRecvFail InternalError.OtherError
        InternalError.UnknownError InternalError.ParseBackendResponseFail ResourceUnavailable
        FailedOperation.OtherError InternalError.New
        """,
    wire.Cause.CREDENTIAL: """
        AuthFailure.SignatureExpire AuthFailure.SignatureFailure AuthFailure.SecretIdNotFound
        AuthFailure.InvalidSecretId AuthFailure.TokenFailure AuthFailure.UnauthorizedOperation
        UnauthorizedOperation.RequestPermissionDeny UnauthorizedOperation.RequestIpNotInWhitelist
        UnauthorizedOperation.SdkAppIdIsDisabled UnauthorizedOperation.SmsSdkAppIdVerifyFail
        UnauthorizedOperation.IndividualUserMarketingSmsPermissionDeny
        UnauthorizedOperation.ServiceSuspendDueToArrears
        InternalError.SigVerificationFail InternalError.SigFieldMissing
        InternalError.RequestTimeException FailedOperation.InsufficientBalanceInSmsPackage
        """,
}
REFUSALS = {
    (wire.Scope.RECIPIENT, True): "FailedOperation.PhoneNumberInBlacklist",
    (wire.Scope.RECIPIENT, False): """
        InvalidParameterValue.IncorrectPhoneNumber FailedOperation.PhoneNumberParseFail
        LimitExceeded.PhoneNumberCountLimit MissingParameter.EmptyPhoneNumberSet
        """,
    (wire.Scope.PROVIDER, False): """
        LimitExceeded.AppCountryOrRegionInBlacklist UnsupportedOperation.Any
        UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber
        FailedOperation.SignatureIncorrectOrUnapproved FailedOperation.SignIdNotExist
        FailedOperation.TemplateIncorrectOrUnapproved FailedOperation.TemplateUnapprovedOrNotExist
        FailedOperation.TemplateIdNotExist
        FailedOperation.TemplateParamSetNotMatchApprovedTemplate
        InvalidParameterValue.TemplateParameterFormatError
        InvalidParameterValue.TemplateParameterLengthLimit
        InvalidParameterValue.ProhibitedUseUrlInTemplateParameter
        InvalidParameterValue.MarketingTemplateWithoutUnsubscribe
        InvalidParameterValue.SdkAppIdNotExist MissingParameter FailedOperation.New UnheardOf
        """,
    (wire.Scope.MESSAGE, False): """
        FailedOperation.ContainSensitiveWord InvalidParameterValue.ContentLengthLimit
        FailedOperation.FailResolvePacket FailedOperation.JsonParseFail
        FailedOperation.ParametersOtherError InternalError.JsonParseFail
        InternalError.RestApiInterfaceNotExist InvalidParameter InvalidParameterValue.New
        """,
}


@pytest.mark.parametrize(
    ("code", "cause"), [(code, cause) for cause, codes in CAUSES.items() for code in codes.split()]
)
def test_deferring_codes(
    provider: tencent.Provider, sms: Message, code: str, cause: wire.Cause
) -> None:
    results = [of_number(provider, sms(), code), of_call(provider, sms(), code)]

    for one in results:
        assert isinstance(one, wire.Deferred)
        assert (one.code, one.cause) == (code, cause)


@pytest.mark.parametrize(
    ("code", "scope", "suppress"),
    [(code, *kind) for kind, codes in REFUSALS.items() for code in codes.split()],
)
def test_refusing_codes(
    provider: tencent.Provider, sms: Message, code: str, scope: wire.Scope, suppress: bool
) -> None:
    results = [of_number(provider, sms(), code), of_call(provider, sms(), code)]

    for one in results:
        assert isinstance(one, wire.Rejected)
        assert (one.code, one.scope, one.suppress) == (code, scope, suppress)
        assert "1850" not in one.detail


def test_all_codes_of_the_tables_are_tested() -> None:
    tested = " ".join([*CAUSES.values(), *REFUSALS.values()]).split()

    assert tencent_codes.RESULTS.keys() <= set(tested)
    assert tencent_codes.FAMILIES.keys() <= {code.partition(".")[0] for code in tested}


def test_limit_that_nobody_knows_is_that_of_whom_it_stops(
    provider: tencent.Provider, sms: Message
) -> None:
    results = [
        of_number(provider, sms(), "LimitExceeded.X"),
        of_call(provider, sms(), "LimitExceeded.X"),
    ]

    causes = [one.cause for one in results if isinstance(one, wire.Deferred)]
    assert causes == [wire.Cause.RECIPIENT, wire.Cause.THROTTLED]


#: 2026-03-01 22:30:00 in Beijing.
AT = int(datetime(2026, 3, 1, 14, 30, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("code", "wait"),
    [
        ("LimitExceeded.PhoneNumberThirtySecondLimit", 30.0),
        ("LimitExceeded.PhoneNumberOneHourLimit", 3600.0),
        ("LimitExceeded.PhoneNumberDailyLimit", 86_400.0),
        ("LimitExceeded.PhoneNumberSameContentDailyLimit", 86_400.0),
        ("LimitExceeded.DeliveryFrequencyLimit", None),
        ("LimitExceeded.DailyLimit", 5400.0),
        ("LimitExceeded.AppDailyLimit", 5400.0),
        ("LimitExceeded.AppMainlandChinaDailyLimit", 5400.0),
        ("LimitExceeded.AppGlobalDailyLimit", 5400.0),
        ("LimitExceeded.AppCountryOrRegionDailyLimit", 5400.0),
        ("FailedOperation.MarketingSendTimeConstraint", 34_200.0),
        ("RequestLimitExceeded", None),
    ],
)
def test_limits_say_how_long_to_wait(
    make: Make, sms: Message, clock_at: Callable[[int], Clock], code: str, wait: float | None
) -> None:
    one = of_number(make("tencent", clock=clock_at(AT)), sms(), code)

    assert isinstance(one, wire.Deferred)
    assert one.retry_after == wait


@pytest.mark.parametrize(
    "code", ["InvalidParameterValue.IncorrectPhoneNumber", "LimitExceeded.PhoneNumberDailyLimit"]
)
def test_call_refused_for_one_number_condemns_none(
    provider: tencent.Provider, sms: Message, code: str
) -> None:
    results = read(provider, [sms(), sms(OTHER, 2)], {"Error": {"Code": code}})

    assert results == [mainland.of_a_batch(code)] * 2


@pytest.mark.parametrize(
    "code",
    [
        "FailedOperation.TemplateIncorrectOrUnapproved",
        "FailedOperation.MarketingSendTimeConstraint",
        "RequestLimitExceeded",
        "InternalError.Timeout",
    ],
)
def test_refusal_of_a_call_is_that_of_each_number(
    provider: tencent.Provider, sms: Message, code: str
) -> None:
    results = read(provider, [sms(), sms(OTHER, 2)], {"Error": {"Code": code}})

    assert results == [of_call(provider, sms(), code)] * 2


@pytest.mark.parametrize(
    ("status", "word", "event", "code"),
    [
        ("SUCCESS", "DELIVRD", wire.ReceiptEvent.DELIVERED, "DELIVRD"),
        ("FAIL", "UNDELIV", wire.ReceiptEvent.FAILED, "UNDELIV"),
        ("FAIL", "EXPIRED", wire.ReceiptEvent.EXPIRED, "EXPIRED"),
        ("FAIL", "REJECTD", wire.ReceiptEvent.FAILED, "REJECTD"),
        ("FAIL", "MK:0001", wire.ReceiptEvent.FAILED, "MK:0001"),
        ("FAIL", "13800138000", wire.ReceiptEvent.FAILED, ""),
        ("FAIL", None, wire.ReceiptEvent.FAILED, ""),
        ("LATER", "x", wire.ReceiptEvent.UNKNOWN, "x"),
    ],
)
def test_words_of_reports(
    provider: tencent.Provider, status: str, word: object, event: wire.ReceiptEvent, code: str
) -> None:
    row = {"sid": SERIAL, "report_status": status, "errmsg": word, "description": "to 13800138000"}

    [receipt] = provider.read_receipts(push([row, {}]))

    assert (receipt.event, receipt.code, receipt.provider_id) == (event, code, SERIAL)
    assert not re.search(r"\d", receipt.detail)
    assert not receipt.suppress


@pytest.mark.parametrize("value", [{}, [7], None, [{"sid": "1"}], [{"report_status": "FAIL"}], "x"])
def test_push_without_a_report_is_unreadable(provider: tencent.Provider, value: Any) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(push(value))


def test_reply_is_read_apart_from_reports(
    provider: tencent.Provider, recorded_request: Request
) -> None:
    reply, report = recorded_request("tencent/reply"), recorded_request("tencent/report")

    [read, again] = [provider.read_inbound(reply)[0] for _ in range(2)]

    assert read == again
    assert replace(read, provider_id="") == wire.InboundMessage(
        sender="+8613800138000",
        to="腾讯云",
        text="R",
        at=datetime(2016, 3, 7, 7, 47, 49, tzinfo=UTC),
    )
    assert provider.read_receipts(reply) == []
    assert provider.read_inbound(report) == []


def test_another_reply_has_another_id(provider: tencent.Provider) -> None:
    row = {"extend": "07", "mobile": "5005550009", "nationcode": "1", "text": "R", "time": 1}

    [first] = provider.read_inbound(push(row))
    [second] = provider.read_inbound(push({**row, "time": 2}))

    assert (first.sender, first.to) == ("+15005550009", "07")
    assert first.provider_id != second.provider_id


@pytest.mark.parametrize("time", [None, "x", True, -1, 10**15, 1.5])
def test_odd_time_is_none(provider: tencent.Provider, time: Any) -> None:
    [reply] = provider.read_inbound(push({"mobile": "1", "text": "R", "time": time}))

    assert reply.at is None


@pytest.mark.parametrize(
    ("row", "sender"),
    [
        ({"mobile": "13800138000"}, "+8613800138000"),
        ({"mobile": "13800138000", "nationcode": "86"}, "+8613800138000"),
        ({"mobile": "13800138000", "nationcode": ""}, "+8613800138000"),
        ({"mobile": "3800138000", "nationcode": "1"}, "+13800138000"),
        ({"mobile": "7700900123", "nationcode": "+44"}, "+447700900123"),
    ],
)
def test_who_wrote_is_known_by_their_number_in_full(
    provider: tencent.Provider, row: dict[str, str], sender: str
) -> None:
    [reply] = provider.read_inbound(push({**row, "text": "R", "time": 1}))

    assert reply.sender == sender


def test_reply_without_sender_is_unreadable(provider: tencent.Provider) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_inbound(push({"mobile": None, "text": "R"}))


def test_report_from_an_address_without_the_secret_is_refused(
    provider: tencent.Provider, make: Make, recorded_request: Request
) -> None:
    request = recorded_request("tencent/report")

    assert not provider.verify_receipt(replace(request, url="https://gw.example.com/r?key=guess"))
    open_account = make("tencent", receipt_secret="")
    assert not open_account.verify_receipt(request)
    assert not open_account.reports
    assert provider.reports == {wire.ReceiptEvent.DELIVERED}


def test_reports_are_answered_as_the_service_wants(
    provider: tencent.Provider, recorded_request: Request
) -> None:
    answer = provider.answer_receipt(recorded_request("tencent/report"))

    assert answer.status == 200
    assert json.loads(answer.body) == {"result": 0, "errmsg": "OK"}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"secret_id": ""}, "providers.main.secret_id: is empty"),
        ({"secret_key": ""}, "providers.main.secret_key: is empty"),
        ({"app_id": ""}, "providers.main.app_id: is empty"),
        ({"region": ""}, "providers.main.region: is empty"),
        ({"receipt_secret": "short"}, "providers.main.receipt_secret: shorter than 16"),
        ({"base_url": "sms.tencentcloudapi.com"}, "providers.main.base_url: not an address"),
    ],
)
def test_settings_that_cannot_work_are_faults(
    make: Make, changes: dict[str, str], fault: str
) -> None:
    with pytest.raises(errors.SettingsError, match=fault):
        make("tencent", changes)
