"""Signatures of clouds against published vectors and the signers of their own SDKs."""

import re
from hashlib import sha256
from types import SimpleNamespace

import pytest
from alibabacloud_tea_openapi.utils import Utils
from hypothesis import given, settings
from hypothesis import strategies as st
from tencentcloud.common import credential
from tencentcloud.sms.v20210111.sms_client import SmsClient

from gateway.providers import signatures

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
KEY = ("YourAccessKeyId", "YourAccessKeySecret")
RUN = {
    "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
    "RegionId": "cn-shanghai",
}
SEND = {
    "OutId": "123",
    "PhoneNumbers": "15300000001",
    "SignName": "阿里云短信测试专用",
    "TemplateCode": "SMS_71390007",
    "TemplateParam": '{"customer":"test"}',
}
ECS = ("ecs.cn-shanghai.aliyuncs.com", "RunInstances", "2014-05-26")
SMS = ("dysmsapi.aliyuncs.com", "SendSms", "2017-05-25")
FIRST = ("2023-10-26T10:22:32Z", "3156853299f313e23d1673dc12e1703d")
SECOND = ("2023-10-26T09:01:01Z", "d410180a5abf7fe235dd9b74aca91fc0")


def acs_headers(api: tuple[str, str, str], at: tuple[str, str]) -> dict[str, str]:
    return {
        "host": api[0],
        "x-acs-action": api[1],
        "x-acs-content-sha256": EMPTY,
        "x-acs-date": at[0],
        "x-acs-signature-nonce": at[1],
        "x-acs-version": api[2],
    }


@pytest.mark.parametrize(
    ("api", "at", "query", "signature"),
    [
        (ECS, FIRST, RUN, "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"),
        (ECS, SECOND, RUN, "e521358f7776c97df52e6b2891a8bc73026794a071b50c3323388c4e0df64804"),
        (SMS, FIRST, SEND, "aae8d87559e596be09e1cd5dc78011d61295602125c564fc6e487733a10dea62"),
    ],
)
def test_acs3_is_as_published(
    api: tuple[str, str, str], at: tuple[str, str], query: dict[str, str], signature: str
) -> None:
    found = signatures.acs3(*KEY, query=signatures.encode(query), headers=acs_headers(api, at))

    assert found == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;"
        "x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        f"Signature={signature}"
    )


#: No deadline, since the machine may be busy.
STEADY = settings(deadline=None, max_examples=50)
TEXTS = st.text(max_size=20)


@given(query=st.dictionaries(st.text("aZ09-_", min_size=1), TEXTS, max_size=5), secret=TEXTS)
@STEADY
def test_acs3_signs_as_the_sdk_does(query: dict[str, str], secret: str) -> None:
    headers = acs_headers(SMS, FIRST)
    request = SimpleNamespace(method="POST", pathname="/", query=query, headers=headers)

    found = signatures.acs3("id", secret, query=signatures.encode(query), headers=headers)

    assert found == Utils.get_authorization(request, signatures.ACS3, EMPTY, "id", secret)


@given(values=st.dictionaries(TEXTS, TEXTS, max_size=5))
@STEADY
def test_encoding_leaves_nothing_but_unreserved_characters(values: dict[str, str]) -> None:
    pairs = signatures.encode(values)

    assert re.fullmatch(r"(?:(?:^|&)(?:[\w.~-]|%[0-9A-F]{2})*=(?:[\w.~-]|%[0-9A-F]{2})*)*", pairs)


def test_encoding_is_sorted_and_quotes_blanks_and_stars() -> None:
    assert signatures.encode({"b": "a b*~", "a": ""}) == "a=&b=a%20b%2A~"


SECRET = ("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE")
AT = 1551113065
INSTANCES = (
    rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
)
SMS_BODY = (
    '{"PhoneNumberSet":["+8618501234444"],"SmsSdkAppId":"1400006666","SignName":"腾讯云",'
    '"TemplateId":"1110","TemplateParamSet":["1234","5"],"SessionContext":"m-42"}'
).encode()
JSON = "application/json; charset=utf-8"
SMS_HEADERS = {"content-type": JSON, "host": "sms.tencentcloudapi.com"}


@pytest.mark.parametrize(
    ("service", "headers", "body", "signature"),
    [
        (
            "cvm",
            {"content-type": JSON, "host": "cvm.tencentcloudapi.com"},
            INSTANCES,
            "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
        ),
        (
            "sms",
            {**SMS_HEADERS, "x-tc-action": "sendsms"},
            SMS_BODY,
            "9c8e6deb2d290641caf7e296ed0b77de038c2e0a5107404e4c250812046f5b02",
        ),
        (
            "sms",
            SMS_HEADERS,
            SMS_BODY,
            "3940b1396cc30aed352359209b34f343eba68f78f85809ce45d113f150b41c9d",
        ),
    ],
)
def test_tc3_is_as_published(
    service: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    found = signatures.tc3(*SECRET, service=service, timestamp=AT, headers=headers, body=body)

    assert found == (
        f"TC3-HMAC-SHA256 Credential={SECRET[0]}/2019-02-25/{service}/tc3_request, "
        f"SignedHeaders={';'.join(headers)}, Signature={signature}"
    )


def test_vectors_have_the_bodies_that_were_published() -> None:
    digests = [sha256(body).hexdigest() for body in (INSTANCES, SMS_BODY)]

    assert digests == [
        "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064",
        "0dbb9fce103288f75df6413e4607563b1c717eea0ba2abd87e708124a4eb0f48",
    ]


@given(body=st.binary(max_size=60), secret=TEXTS)
@STEADY
def test_tc3_signs_as_the_sdk_does(body: bytes, secret: str) -> None:
    client = SmsClient(credential.Credential("id", "secret"), "ap-guangzhou")
    named = {"Content-Type": JSON, "Host": SMS_HEADERS["host"], "X-TC-Timestamp": str(AT)}
    request = SimpleNamespace(method="POST", uri="/", data=body, header=named)

    found = signatures.tc3(
        "id", secret, service="sms", timestamp=AT, headers=SMS_HEADERS, body=body
    )

    expected = client._get_tc3_signature({}, request, "2019-02-25", "sms", secret)
    assert found.endswith(f"SignedHeaders=content-type;host, Signature={expected}")
