"""The simulator of Alibaba Cloud SMS, by the service's own SDK."""

import asyncio
import re
import time
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from alibabacloud_dysmsapi20170525 import models
from alibabacloud_dysmsapi20170525.client import Client
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions

from gateway.model import wire
from gateway.sandbox import aliyun_rules
from gateway.sandbox.aliyun import ACCESS_KEY_ID, ACCESS_KEY_SECRET, AliyunSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate

# The SDK dates its requests by a function that newer Pythons discourage.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")

HOME, OTHER = "15300000001", "15300000002"
TEMPLATE = "SMS_123456789"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"


def client(simulator: AliyunSimulator, secret: str = ACCESS_KEY_SECRET) -> Any:
    endpoint = f"127.0.0.1:{simulator.port}"
    return Client(
        Config(
            access_key_id=ACCESS_KEY_ID,
            access_key_secret=secret,
            endpoint=endpoint,
            protocol="HTTP",
        )
    )


async def call(simulator: AliyunSimulator, request: Any, secret: str = ACCESS_KEY_SECRET) -> Any:
    """The SDK's answer to one request, without its own retries."""
    options = RuntimeOptions(autoretry=False, read_timeout=20_000, connect_timeout=20_000)
    own = client(simulator, secret)
    name = "send_sms" if isinstance(request, models.SendSmsRequest) else "send_batch_sms"
    return await asyncio.to_thread(getattr(own, f"{name}_with_options"), request, options)


async def send(simulator: AliyunSimulator, phones: str = HOME, **fields: Any) -> Any:
    given = {
        "phone_numbers": phones,
        "sign_name": "Example",
        "template_code": TEMPLATE,
        "template_param": '{"code":"4711"}',
        **fields,
    }
    return (await call(simulator, models.SendSmsRequest(**given))).body


async def send_batch(simulator: AliyunSimulator, phones: list[str], **fields: Any) -> Any:
    given = {
        "phone_number_json": orjson.dumps(phones).decode(),
        "sign_name_json": orjson.dumps(["Example"] * len(phones)).decode(),
        "template_code": TEMPLATE,
        "template_param_json": orjson.dumps([{"code": "4711"}] * len(phones)).decode(),
        **fields,
    }
    return (await call(simulator, models.SendBatchSmsRequest(**given))).body


async def refused(simulator: AliyunSimulator, **fields: Any) -> Any:
    """What the SDK raises when the gateway in front of the service refuses."""
    secret = fields.pop("secret", ACCESS_KEY_SECRET)
    given = {"phone_numbers": HOME, "sign_name": "Example", "template_code": TEMPLATE}
    request = models.SendSmsRequest(**{**given, "template_param": '{"code":"1"}', **fields})
    with pytest.raises(AlibabaCloudException) as error:
        await call(simulator, request, secret)
    return error.value


async def test_message_of_the_sdk_is_taken() -> None:
    async with AliyunSimulator() as simulator:
        body = await send(simulator, out_id=REFERENCE)

    assert (body.code, body.message) == ("OK", "OK")
    assert body.biz_id.endswith("^0")
    [arrival] = simulator.log.arrivals
    assert (arrival.id, arrival.to, arrival.fate) == (body.biz_id, f"+86{HOME}", Fate.TAKEN)
    assert (arrival.reference, arrival.answer) == (REFERENCE, "OK")


async def test_batch_of_the_sdk_is_taken_with_one_id() -> None:
    async with AliyunSimulator() as simulator:
        body = await send_batch(simulator, [HOME, OTHER])

    assert body.code == "OK"
    assert [one.id for one in simulator.log.arrivals] == [body.biz_id] * 2
    assert [one.to for one in simulator.log.arrivals] == [f"+86{HOME}", f"+86{OTHER}"]


async def test_wrong_secret_is_refused() -> None:
    async with AliyunSimulator() as simulator:
        error = await refused(simulator, secret="wrong")

        assert (error.status_code, error.code) == (400, "SignatureDoesNotMatch")
        assert simulator.log.total == 0


async def test_unknown_key_and_late_request_are_refused() -> None:
    async with AliyunSimulator(access_key_id="other") as simulator:
        assert (await refused(simulator)).code == "InvalidAccessKeyId.NotFound"
    async with AliyunSimulator(wall=lambda: time.time() + 1000) as simulator:
        assert (await refused(simulator)).code == "InvalidTimeStamp.Expired"


VECTOR = aliyun_rules.Received(
    query="ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
    headers={
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-version": "2014-05-26",
        "authorization": (
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;"
            "x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,Signature="
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        ),
    },
    body=b"",
)
VECTOR_KEYS = {"YourAccessKeyId": "YourAccessKeySecret"}
VECTOR_AT = 1698315752.0


def vector_fault(nonces: set[str] | None = None, at: float = VECTOR_AT, **changes: Any) -> str:
    headers = {**VECTOR.headers, **changes.pop("headers", {})}
    fields = {"query": VECTOR.query, "body": VECTOR.body, **changes}
    received = aliyun_rules.Received(headers=headers, **fields)
    seen = set() if nonces is None else nonces
    return aliyun_rules.signature_fault(received, VECTOR_KEYS, seen, now=at)


def test_published_signature_is_good_once() -> None:
    nonces: set[str] = set()

    assert [vector_fault(nonces) for _ in range(2)] == ["", "SignatureNonceUsed"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"query": VECTOR.query + "&More=1"}, "SignatureDoesNotMatch"),
        ({"body": b"x", "headers": {"content-type": "a"}}, "IncompleteSignature"),
        ({"headers": {"x-acs-security-token": "unsigned"}}, "IncompleteSignature"),
        ({"headers": {"host": "other.example.com"}}, "SignatureDoesNotMatch"),
        ({"headers": {"x-acs-content-sha256": "0" * 64}}, "SignatureDoesNotMatch"),
        ({"headers": {"authorization": "acs testId:signature"}}, "IncompleteSignature"),
        ({"headers": {"x-acs-date": "yesterday"}}, "InvalidTimeStamp.Expired"),
        ({"at": VECTOR_AT + 901}, "InvalidTimeStamp.Expired"),
        ({"at": VECTOR_AT - 900}, ""),
    ],
)
def test_anything_changed_breaks_the_signature(changes: dict[str, Any], code: str) -> None:
    assert vector_fault(**changes) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"SignName": "Unapproved"}, "isv.SMS_SIGNATURE_ILLEGAL"),
        ({"SignName": ""}, "MissingSignName"),
        ({"TemplateCode": "SMS_1"}, "isv.SMS_TEMPLATE_ILLEGAL"),
        ({"TemplateCode": ""}, "MissingTemplateCode"),
        ({"TemplateParam": ""}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"TemplateParam": '{"name":"x"}'}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"TemplateParam": "code"}, "isv.INVALID_JSON_PARAM"),
        ({"TemplateParam": '{"code":4711}'}, "isv.INVALID_JSON_PARAM"),
        ({"PhoneNumbers": ""}, "MissingPhoneNumbers"),
        ({"PhoneNumbers": "153000"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"PhoneNumbers": "0015005550009"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"PhoneNumbers": f"{HOME},12"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"PhoneNumbers": ",".join([HOME] * 1001)}, "isv.MOBILE_COUNT_OVER_LIMIT"),
        ({"SmsUpExtendCode": "x"}, "isv.EXTEND_CODE_ERROR"),
    ],
)
def test_wrong_parameter_has_its_code(changes: dict[str, str], code: str) -> None:
    good = {
        "PhoneNumbers": f"{HOME},+86{OTHER},0086{OTHER},86{OTHER},85251234567",
        "SignName": "Example",
        "TemplateCode": TEMPLATE,
        "TemplateParam": '{"code":"4711"}',
    }

    assert isinstance(read(good), list)
    assert read({**good, **changes}) == code


def read(parameters: dict[str, str], action: str = "SendSms") -> object:
    headers = {
        "x-acs-action": action,
        "x-acs-version": "2017-05-25",
        "content-type": "application/x-www-form-urlencoded",
    }
    body = urlencode(parameters).encode()
    received = aliyun_rules.Received(query="", headers=headers, body=body)
    approved = aliyun_rules.Approved(signs=["Example"], templates={TEMPLATE: ["code"]})
    return aliyun_rules.read(received, approved)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PhoneNumberJson": "[]"}, "isv.INVALID_PARAMETERS"),
        ({"PhoneNumberJson": HOME}, "isv.INVALID_JSON_PARAM"),
        ({"SignNameJson": '["Example"]'}, "isv.INVALID_PARAMETERS"),
        ({"TemplateParamJson": '[{"code":"1"}]'}, "isv.INVALID_PARAMETERS"),
        ({"TemplateParamJson": '["1","2"]'}, "isv.INVALID_JSON_PARAM"),
        ({"TemplateParamJson": ""}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"SmsUpExtendCodeJson": '["1"]'}, "isv.INVALID_PARAMETERS"),
        ({"OutId": "x" * 256}, "isv.PARAM_LENGTH_LIMIT"),
        ({"TemplateCode": ""}, "MissingTemplateCode"),
        ({"PhoneNumberJson": ""}, "MissingPhoneNumberJson"),
        ({"PhoneNumberJson": orjson.dumps([HOME] * 101).decode()}, "isv.MOBILE_COUNT_OVER_LIMIT"),
    ],
)
def test_wrong_parameter_of_a_batch_has_its_code(changes: dict[str, str], code: str) -> None:
    good = {
        "PhoneNumberJson": orjson.dumps([HOME, OTHER]).decode(),
        "SignNameJson": '["Example","Example"]',
        "TemplateCode": TEMPLATE,
        "TemplateParamJson": '[{"code":"1"},{"code":"2"}]',
    }

    assert isinstance(read(good, "SendBatchSms"), list)
    assert read({**good, **changes}, "SendBatchSms") == code


def test_unknown_action_is_refused() -> None:
    assert read({}, "SendPigeon") == "InvalidAction.NotFound"


async def test_missing_parameter_is_refused_by_the_gateway() -> None:
    async with AliyunSimulator() as simulator:
        assert (await refused(simulator, phone_numbers=None)).code == "MissingPhoneNumbers"
        assert simulator.log.counts == {Fate.INVALID: 1}


@pytest.mark.parametrize(
    ("phone", "code"),
    [
        ("15005550001", "isv.MOBILE_NUMBER_ILLEGAL"),
        ("15005550002", "isv.BLACK_KEY_CONTROL_LIMIT"),
        ("15005550004", "isv.CUSTOMER_REFUSED"),
        ("15005550015", "isp.SYSTEM_ERROR"),
        ("15005550016", "isv.BUSINESS_LIMIT_CONTROL"),
    ],
)
async def test_magic_number_is_refused_and_its_batch_with_it(phone: str, code: str) -> None:
    async with AliyunSimulator() as simulator:
        alone = await send(simulator, phone)
        batch = await send_batch(simulator, [HOME, phone])

    assert (alone.code, alone.biz_id) == (code, None)
    assert (batch.code, batch.biz_id) == (code, None)
    assert simulator.log.taken == 0


async def test_flow_control_names_its_window() -> None:
    async with AliyunSimulator() as simulator:
        body = await send(simulator, "15005550016")

    assert body.message == "触发分钟级流控Permits:1"


@pytest.mark.parametrize(
    ("error", "code"),
    [(Fate.CREDENTIAL, "InvalidAccessKeyId.Inactive"), (Fate.TEMPORARY, "isp.SYSTEM_ERROR")],
)
async def test_error_knob_has_its_code(error: Fate, code: str) -> None:
    async with AliyunSimulator(knobs=Knobs(error_rate=1, error=error)) as simulator:
        if error is Fate.CREDENTIAL:
            assert (await refused(simulator)).code == code
        else:
            assert (await send(simulator)).code == code


@pytest.mark.parametrize(("retry_after", "milliseconds"), [(None, None), (1.5, 1500)])
async def test_throttling_counts_messages_and_says_how_long_to_wait_if_told_to(
    retry_after: float | None, milliseconds: int | None
) -> None:
    knobs = Knobs(throttle=2, retry_after=retry_after)
    async with AliyunSimulator(knobs=knobs, now=lambda: 0.0) as simulator:
        await send_batch(simulator, [HOME, OTHER])
        error = await refused(simulator)

    assert (error.status_code, error.code) == (400, "Throttling.User")
    assert error.retry_after == milliseconds


async def test_report_is_in_the_documented_form(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    knobs = Knobs(receipt_url=f"{sink_url}/v1/receipts/aliyun?key=k")
    async with AliyunSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        body = await send(simulator, out_id="m-42")
        await simulator.reporter.join()

    [request] = inbox
    [row] = orjson.loads(request.body)
    assert request.url == knobs.receipt_url
    assert request.headers["content-type"] == "application/json;charset=utf-8"
    assert all(re.fullmatch(TIME, row.pop(name)) for name in ("send_time", "report_time"))
    assert row == {
        "phone_number": HOME,
        "success": True,
        "err_code": "DELIVERED",
        "err_msg": "用户接收成功",
        "sms_size": "1",
        "biz_id": body.biz_id,
        "out_id": "m-42",
    }


async def test_batch_is_reported_in_one_push_by_number(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    knobs = Knobs(receipt_url=sink_url, receipt_repeats=1)
    async with AliyunSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        body = await send_batch(simulator, [HOME, "15005550012", "15005550014"])
        await simulator.reporter.join()

    rows = [orjson.loads(one.body) for one in inbox]
    told = [(row["phone_number"], row["success"], row["err_code"]) for row in rows[0]]
    assert told == [(HOME, True, "DELIVERED"), ("15005550012", False, "MOBILE_IN_BLACK")]
    assert [len(one) for one in rows] == [2, 2]
    assert {row["biz_id"] for one in rows for row in one} == {body.biz_id}
    assert not any("out_id" in row for one in rows for row in one)


async def test_push_that_is_refused_comes_again(
    sink_url: str, inbox: list[wire.HttpRequest], answers: list[int]
) -> None:
    answers += [500, 503, 500, 500]
    knobs = Knobs(receipt_url=sink_url, receipt_retry_delay=0)
    async with AliyunSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await send(simulator)
        await simulator.reporter.join()

    assert len(inbox) == 4


@pytest.mark.parametrize("event", [*wire.ReceiptEvent, None])
async def test_receipt_knob_decides_what_is_reported(
    sink_url: str, inbox: list[wire.HttpRequest], event: wire.ReceiptEvent | None
) -> None:
    knobs = Knobs(receipt_url=sink_url, receipt=event)
    async with AliyunSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await send(simulator)
        await simulator.reporter.join()

    good = wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.READ, wire.ReceiptEvent.COMPLAINED
    successes = [row["success"] for one in inbox for row in orjson.loads(one.body)]
    assert successes == ([] if event is None else [event in good])


async def test_reply_is_pushed_in_the_documented_form(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    async with AliyunSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        async with asyncio.timeout(20):
            simulator.reply(f"+86{HOME}", "R")
            await simulator.reporter.join()

    [row] = orjson.loads(inbox[0].body)
    assert re.fullmatch(TIME, row.pop("send_time"))
    assert re.fullmatch(r"[0-9]{1,10}", row.pop("sequence_id"))
    assert row == {"phone_number": HOME, "content": "R", "dest_code": "10690000"}


@pytest.mark.parametrize(("phone", "taken"), [("15005550017", 1), ("15005550018", 0)])
async def test_lost_and_hanging_numbers_get_no_answer(phone: str, taken: int) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        came.set()

    async with AliyunSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        sending = asyncio.create_task(send(simulator, phone))
        await came.wait()
        found = simulator.log.taken
        simulator.knobs.refuse = True
        with pytest.raises(Exception, match=r"[Cc]onnection|disconnect"):
            await sending

    assert found == taken
