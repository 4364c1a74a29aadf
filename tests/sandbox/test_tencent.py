"""The simulator of Tencent Cloud SMS, by the service's own SDK."""

import asyncio
import re
import time
from typing import Any

import orjson
import pytest
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sms.v20210111 import models
from tencentcloud.sms.v20210111.sms_client import SmsClient

from gateway.model import wire
from gateway.sandbox import tencent_rules
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate
from gateway.sandbox.tencent import APP_ID, SECRET_ID, SECRET_KEY, TencentSimulator

# The SDK dates its requests by a function that newer Pythons discourage.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp")

HOME, OTHER, ABROAD = "+8618501234444", "+8618501234445", "+15005551234"
REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


async def send(
    simulator: TencentSimulator, *phones: str, key: str = SECRET_KEY, **fields: Any
) -> Any:
    """The SDK's answer; what is not given is right."""
    http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{simulator.port}", reqTimeout=20)
    profile = ClientProfile(httpProfile=http)
    client = SmsClient(credential.Credential(SECRET_ID, key), "ap-guangzhou", profile)
    request: Any = models.SendSmsRequest()
    given = {
        "PhoneNumberSet": list(phones or [HOME]),
        "SmsSdkAppId": APP_ID,
        "SignName": "Example",
        "TemplateId": "1400001",
        "TemplateParamSet": ["4711"],
        **fields,
    }
    request._deserialize({name: value for name, value in given.items() if value is not None})
    return await asyncio.to_thread(client.SendSms, request)


async def refused(simulator: TencentSimulator, *phones: str, **fields: Any) -> str:
    """The code of a call that is refused as a whole."""
    with pytest.raises(TencentCloudSDKException) as error:
        await send(simulator, *phones, **fields)
    return str(error.value.code)


def codes(answer: Any) -> list[str]:
    return [row.Code for row in answer.SendStatusSet]


async def test_message_of_the_sdk_is_taken() -> None:
    async with TencentSimulator() as simulator:
        answer = await send(simulator, SessionContext=REFERENCE)

    [row] = answer.SendStatusSet
    assert (row.Code, row.Message, row.Fee, row.IsoCode) == ("Ok", "send success", 1, "CN")
    assert (row.PhoneNumber, row.SessionContext) == (HOME, REFERENCE)
    assert re.fullmatch(r"5000:\d{28}", row.SerialNo)
    [arrival] = simulator.log.arrivals
    assert (arrival.id, arrival.to, arrival.fate) == (row.SerialNo, HOME, Fate.TAKEN)
    assert arrival.reference == REFERENCE


async def test_each_number_of_a_call_has_its_own_status() -> None:
    async with TencentSimulator() as simulator:
        answer = await send(simulator, HOME, "+8615005550004", "12", "18501234445")

    assert codes(answer) == [
        "Ok",
        "FailedOperation.PhoneNumberInBlacklist",
        "InvalidParameterValue.IncorrectPhoneNumber",
        "Ok",
    ]
    assert [bool(row.SerialNo) for row in answer.SendStatusSet] == [True, False, False, True]
    assert [row.Fee for row in answer.SendStatusSet] == [1, 0, 0, 1]
    assert answer.SendStatusSet[3].PhoneNumber == OTHER
    assert simulator.log.taken == 2


async def test_wrong_key_and_late_request_are_refused() -> None:
    async with TencentSimulator() as simulator:
        assert await refused(simulator, key="wrong") == "AuthFailure.SignatureFailure"
        assert simulator.log.total == 0
    async with TencentSimulator(secret_id="other") as simulator:
        assert await refused(simulator) == "AuthFailure.SecretIdNotFound"
    async with TencentSimulator(wall=lambda: time.time() - 400) as simulator:
        assert await refused(simulator) == "AuthFailure.SignatureExpire"


VECTOR_AT = 1551113065
VECTOR_BODY = (
    '{"PhoneNumberSet":["+8618501234444"],"SmsSdkAppId":"1400006666","SignName":"腾讯云",'
    '"TemplateId":"1110","TemplateParamSet":["1234","5"],"SessionContext":"m-42"}'
).encode()
VECTOR_KEYS = {"AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE": "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"}
CREDENTIAL = "Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/sms/tc3_request"
SIGNATURE = "9c8e6deb2d290641caf7e296ed0b77de038c2e0a5107404e4c250812046f5b02"
SHORT_SIGNATURE = "3940b1396cc30aed352359209b34f343eba68f78f85809ce45d113f150b41c9d"


def vector_fault(
    names: str = "content-type;host;x-tc-action",
    signature: str = SIGNATURE,
    at: float = VECTOR_AT,
    body: bytes = VECTOR_BODY,
    **headers: str,
) -> str:
    given = {
        "content-type": "application/json; charset=utf-8",
        "host": "sms.tencentcloudapi.com",
        "x-tc-action": "SendSms",
        "x-tc-timestamp": str(VECTOR_AT),
        "authorization": (
            f"TC3-HMAC-SHA256 {CREDENTIAL}, SignedHeaders={names}, Signature={signature}"
        ),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    received = tencent_rules.Received(headers=given, body=body)
    return tencent_rules.signature_fault(received, VECTOR_KEYS, now=at)


def test_computed_signatures_are_good_with_and_without_the_action() -> None:
    assert vector_fault() == ""
    assert vector_fault("content-type;host", SHORT_SIGNATURE) == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"body": VECTOR_BODY + b" "}, "AuthFailure.SignatureFailure"),
        ({"content_type": "application/json"}, "AuthFailure.SignatureFailure"),
        ({"names": "host;x-tc-action"}, "AuthFailure.SignatureFailure"),
        ({"names": "host;content-type;x-tc-action"}, "AuthFailure.SignatureFailure"),
        ({"authorization": ""}, "AuthFailure.SignatureFailure"),
        ({"x_tc_timestamp": "now"}, "AuthFailure.SignatureFailure"),
        ({"x_tc_timestamp": str(VECTOR_AT + 1)}, "AuthFailure.SignatureFailure"),
        (
            {"at": VECTOR_AT + 86_400, "x_tc_timestamp": str(VECTOR_AT + 86_400)},
            "AuthFailure.SignatureFailure",
        ),
        ({"at": VECTOR_AT + 301}, "AuthFailure.SignatureExpire"),
        ({"at": VECTOR_AT - 300}, ""),
    ],
)
def test_anything_changed_breaks_the_signature(changes: dict[str, Any], code: str) -> None:
    assert vector_fault(**changes) == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"PhoneNumberSet": []}, "MissingParameter.EmptyPhoneNumberSet"),
        ({"PhoneNumberSet": [HOME] * 201}, "LimitExceeded.PhoneNumberCountLimit"),
        ({"TemplateId": None}, "MissingParameter"),
        ({"SmsSdkAppId": None}, "MissingParameter"),
        ({"SmsSdkAppId": "1"}, "UnauthorizedOperation.SmsSdkAppIdVerifyFail"),
        ({"TemplateParamSet": [4711]}, "InvalidParameter"),
        ({"TemplateParamSet": "4711"}, "InvalidParameter"),
        ({"SessionContext": "语" * 171}, "InvalidParameterValue.SessionContextTooLong"),
        (
            {"PhoneNumberSet": [HOME, ABROAD]},
            "UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber",
        ),
    ],
)
async def test_wrong_field_stops_the_call(fields: dict[str, Any], code: str) -> None:
    async with TencentSimulator() as simulator:
        assert await refused(simulator, **fields) == code
        assert simulator.log.counts == {Fate.INVALID: 1}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"SignName": "Other"}, "FailedOperation.SignatureIncorrectOrUnapproved"),
        ({"SignName": None}, "FailedOperation.SignatureIncorrectOrUnapproved"),
        ({"TemplateId": "1"}, "FailedOperation.TemplateIncorrectOrUnapproved"),
        (
            {"TemplateParamSet": ["1", "2"]},
            "FailedOperation.TemplateParamSetNotMatchApprovedTemplate",
        ),
        ({"TemplateParamSet": None}, "FailedOperation.TemplateParamSetNotMatchApprovedTemplate"),
        ({"SignName": None, "PhoneNumberSet": [ABROAD]}, "Ok"),
        ({"SessionContext": "语" * 170}, "Ok"),
    ],
)
async def test_wrong_signature_or_template_is_told_by_number(
    fields: dict[str, Any], code: str
) -> None:
    async with TencentSimulator() as simulator:
        assert codes(await send(simulator, **fields)) == [code]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-tc-action": "SendPigeon"}, "InvalidAction"),
        ({"x-tc-version": "2019-07-11"}, "NoSuchVersion"),
        ({"x-tc-region": ""}, "MissingParameter"),
        ({}, "FailedOperation.JsonParseFail"),
    ],
)
def test_wrong_header_or_body_stops_the_call(headers: dict[str, str], code: str) -> None:
    good = {"x-tc-action": "SendSms", "x-tc-version": "2021-01-11", "x-tc-region": "ap-guangzhou"}
    received = tencent_rules.Received(headers={**good, **headers}, body=b"[]")
    account = tencent_rules.Account(app_id=APP_ID, signs=[], templates={})

    assert tencent_rules.read(received, account) == code


@pytest.mark.parametrize(
    ("phone", "code"),
    [
        ("+8615005550001", "InvalidParameterValue.IncorrectPhoneNumber"),
        ("+8615005550002", "FailedOperation.ContainSensitiveWord"),
        ("+8615005550016", "LimitExceeded.PhoneNumberThirtySecondLimit"),
    ],
)
async def test_magic_number_is_refused_alone(phone: str, code: str) -> None:
    async with TencentSimulator() as simulator:
        assert codes(await send(simulator, HOME, phone)) == ["Ok", code]


@pytest.mark.parametrize(
    ("phone", "code"),
    [
        ("+8615005550015", "InternalError.Timeout"),
        ("+8615005550019", "AuthFailure.InvalidSecretId"),
    ],
)
async def test_magic_number_can_stop_the_call(phone: str, code: str) -> None:
    async with TencentSimulator() as simulator:
        assert await refused(simulator, HOME, phone) == code
        assert simulator.log.taken == 0


async def test_throttling_counts_numbers() -> None:
    async with TencentSimulator(knobs=Knobs(throttle=2), now=lambda: 0.0) as simulator:
        await send(simulator, HOME, OTHER)

        assert await refused(simulator) == "RequestLimitExceeded"


async def test_call_is_reported_in_one_push_of_the_documented_form(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    knobs = Knobs(receipt_url=f"{sink_url}/v1/receipts/tencent?key=k")
    async with TencentSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        answer = await send(simulator, HOME, "+8615005550011", "+8615005550014", "12")
        await simulator.reporter.join()

    [request] = inbox
    rows = orjson.loads(request.body)
    assert request.url == knobs.receipt_url
    assert all(re.fullmatch(TIME, row.pop("user_receive_time")) for row in rows)
    assert rows == [
        {
            "nationcode": "86",
            "mobile": "18501234444",
            "report_status": "SUCCESS",
            "errmsg": "DELIVRD",
            "description": "用户短信送达成功",
            "sid": answer.SendStatusSet[0].SerialNo,
        },
        {
            "nationcode": "86",
            "mobile": "15005550011",
            "report_status": "FAIL",
            "errmsg": "EXPIRED",
            "description": "短信过期",
            "sid": answer.SendStatusSet[1].SerialNo,
        },
    ]


@pytest.mark.parametrize("event", [*wire.ReceiptEvent, None])
async def test_receipt_knob_decides_what_is_reported(
    sink_url: str, inbox: list[wire.HttpRequest], event: wire.ReceiptEvent | None
) -> None:
    knobs = Knobs(receipt_url=sink_url, receipt=event, receipt_repeats=1)
    async with TencentSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await send(simulator)
        await simulator.reporter.join()

    open_ended = wire.ReceiptEvent.ACCEPTED, wire.ReceiptEvent.SENT, None
    assert len(inbox) == (0 if event in open_ended else 2)


async def test_reply_is_pushed_in_the_documented_form(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    knobs = Knobs(receipt_url=sink_url)
    async with TencentSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        simulator.reply(ABROAD, "R")
        await simulator.reporter.join()

    row = orjson.loads(inbox[0].body)
    assert isinstance(row.pop("time"), int)
    assert row == {
        "extend": "",
        "mobile": "5005551234",
        "nationcode": "1",
        "sign": "Example",
        "text": "R",
    }


@pytest.mark.parametrize(("phone", "taken"), [("+8615005550017", 2), ("+8615005550018", 0)])
async def test_lost_and_hanging_numbers_get_no_answer(phone: str, taken: int) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        if simulator.log.total == 2:
            came.set()

    async with TencentSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        sending = asyncio.create_task(send(simulator, HOME, phone))
        await came.wait()
        found = simulator.log.taken
        simulator.knobs.refuse = True
        with pytest.raises(Exception, match=r"[Cc]onnection|disconnect"):
            await sending

    assert found == taken
