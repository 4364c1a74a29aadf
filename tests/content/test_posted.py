"""Content that comes with the message."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.content import templates
from gateway.model import wire
from gateway.model.wire import Channel

CONTENT: Mapping[str, Any] = {
    "text": "Hello",
    "subject": "Greeting",
    "title": "Hi",
    "html": "<p>Hello</p>",
    "sms": {"text": "Hello by SMS"},
    "push": {"link": "app://x", "badge": 2},
    "aliyun": {"template": "SMS_1", "params": {"code": "1"}},
}


def test_a_channel_says_what_is_its_own_and_else_what_is_common() -> None:
    sms = templates.from_content(CONTENT, Channel.SMS)
    push = templates.from_content(CONTENT, Channel.PUSH)

    assert (sms.text, sms.subject, sms.title, sms.extra) == ("Hello by SMS", "Greeting", "Hi", {})
    assert (push.text, push.extra) == ("Hello", {"link": "app://x", "badge": 2})


def test_html_goes_by_email_only() -> None:
    channels = {channel for channel in Channel if templates.from_content(CONTENT, channel).html}

    assert channels == {Channel.EMAIL}


def test_tables_of_provider_kinds_are_passed_on() -> None:
    content = templates.from_content(CONTENT, Channel.SMS)

    assert content.provider_templates == {"aliyun": CONTENT["aliyun"]}


def test_tables_of_other_kinds_than_the_lane_has_do_not_count() -> None:
    content = {**CONTENT, "tencent": {"template": "1"}, "wechat": {"template": "T", "text": "x"}}

    sms = templates.from_content(content, Channel.SMS, {"tencent", "smtp"})
    wechat = templates.from_content(content, Channel.WECHAT, {"smtp"})

    assert sms.provider_templates == {"tencent": {"template": "1"}}
    assert wechat == wire.Content(text="x", subject="Greeting", title="Hi")


def test_kinds_are_told_apart_from_channels() -> None:
    content = {**CONTENT, "wechat": {"template": "T"}, "wecom": {"text": "x"}}

    assert list(templates.kinds_of(content)) == ["aliyun", "wechat"]


def test_a_kind_named_like_its_channel_keeps_its_table_apart() -> None:
    wechat = {"template": "T", "data": {"a": {"value": "1"}}, "text": "hello"}

    content = templates.from_content({"wechat": wechat}, Channel.WECHAT)

    assert content == wire.Content(
        text="hello", provider_templates={"wechat": {"template": "T", "data": wechat["data"]}}
    )


def test_texts_are_not_templates() -> None:
    assert templates.from_content({"text": "{{ x }}"}, Channel.SMS).text == "{{ x }}"


def test_sms_is_composed() -> None:
    assert templates.from_content({"text": "e\u0301"}, Channel.SMS).text == "é"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"text": 5}, "text: not a text"),
        ({"sms": "x"}, "sms: not an object"),
        ({"sms": None}, "sms: not an object"),
        ({"aliyun": "x"}, "aliyun: not an object"),
        ({"text": "a\x00"}, "text: holds NUL"),
        ({"subject": "a\r\nBcc: b"}, "subject: holds a line break"),
        ({"title": "ok", "sms": {"title": "a\nb"}}, "sms.title: holds a line break"),
        ({"subject": "a\nb", "sms": {"text": "x"}}, "subject: holds a line break"),
        ({"text": "a" * 65537}, "text: longer than 65536 characters"),
    ],
)
def test_content_that_cannot_be_sent_is_refused(content: Mapping[str, Any], fault: str) -> None:
    with pytest.raises(templates.ContentFault) as refusal:
        templates.from_content(content, Channel.SMS)

    assert str(refusal.value).startswith(fault)


@pytest.mark.parametrize(
    ("content", "empty"),
    [
        ({}, True),
        ({"email": {"text": "x"}}, True),
        ({"html": "x"}, True),
        ({"text": ""}, True),
        ({"text": "x"}, False),
        ({"sms": {"text": "x"}}, False),
        ({"aliyun": {"template": "T"}}, False),
    ],
)
def test_a_channel_may_have_nothing_to_say(content: Mapping[str, Any], empty: bool) -> None:
    assert templates.is_empty(templates.from_content(content, Channel.SMS)) is empty
