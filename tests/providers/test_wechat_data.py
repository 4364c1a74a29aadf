"""Values of WeChat's templates: their lengths by kind."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.model import wire

Make = Callable[..., Any]
Message = Callable[..., wire.Message]
OPENID = wire.Address(wechat="openid")


def content(data: Any, **table: Any) -> wire.Content:
    return wire.Content(provider_templates={"wechat": {"template": "T1", "data": data, **table}})


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("thing1", 20),
        ("const12", 20),
        ("character_string3", 32),
        ("phone_number4", 17),
        ("car_number5", 8),
    ],
)
def test_value_is_as_long_as_its_kind_may_be(make: Make, name: str, most: int) -> None:
    provider = make("wechat")

    assert provider.objection(content({name: "界" * most}), OPENID) == ""
    objection = provider.objection(content({name: "界" * (most + 1)}), OPENID)
    assert objection == f"wechat.data.{name}: longer than {most} characters"
    assert "is empty" in provider.objection(content({name: {"value": " "}}), OPENID)


def test_other_names_have_no_length(make: Make) -> None:
    data = {"first": "x" * 200, "remark": "", "things": "x" * 200, "time2": "2030-01-01 10:00"}

    assert make("wechat").objection(content(data), OPENID) == ""


def test_value_is_cut_where_the_table_says_so(make: Make, message: Message) -> None:
    data = {"thing1": "x" * 30, "thing2": {"value": "short", "color": "#173177"}}
    cut = content(data, cut=["thing1"])

    [(_, request)] = make("wechat").build_requests([message(to=OPENID, content=cut)])

    body = orjson.loads(request.body)
    assert body["data"]["thing1"] == {"value": "x" * 19 + "…"}
    assert body["data"]["thing2"] == data["thing2"]
    assert "cut" not in body


@pytest.mark.parametrize("table", [{"cut": "thing1"}, {"cut": [1]}])
def test_cut_is_a_list_of_names(make: Make, table: dict[str, Any]) -> None:
    assert "wechat.cut" in make("wechat").objection(content({}, **table), OPENID)


def test_consent_that_is_used_up_bans_nobody(make: Make, message: Message) -> None:
    """Another template may have one: nothing is suppressed, and no other account is tried."""
    spent = content({"thing1": "x"}, subscribe=True)
    response = wire.HttpResponse(status=200, body=b'{"errcode":43101,"errmsg":"user refuse"}')

    [result] = make("wechat").read_response([message(to=OPENID, content=spent)], response)

    assert isinstance(result, wire.Rejected)
    assert (result.scope, result.suppress, result.opted_out) == (
        wire.Scope.RECIPIENT,
        False,
        False,
    )
