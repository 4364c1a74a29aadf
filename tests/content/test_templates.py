"""Templates: rendered as Jinja would, within bounds, and silent about values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import settings
from gateway.content import jinja, templates
from gateway.model import wire
from gateway.model.errors import SettingsError
from gateway.model.wire import Channel

LOGIN = {
    "category": "otp",
    "sms": {"text": "【Example】{{ code }} is your code."},
    "push": {"title": "Your code", "text": "{{ code }}", "link": "app://{{ code }}", "badge": 1},
    "email": {"subject": "Code: {{ code }}", "text": "{{ code }}", "html": "<b>{{ name }}</b>"},
    "aliyun": {"template": "SMS_1", "sign": "Example", "params": ["code", "order.id"]},
    "tencent": {"template": "14", "params": ["{{ code }}", "{{ order.id }} x"]},
    "wechat": {"template": "TM1", "data": {"code": {"value": "{{ code }}", "color": "#000"}}},
}
DATA: Mapping[str, Any] = {"code": "834201", "name": "<Li>", "order": {"id": 17}}


def compile_set(**tables: Mapping[str, Any]) -> templates.TemplateSet:
    named = {name.replace("_", "-"): table for name, table in tables.items()}
    return templates.load(settings.parse({"templates": named}))


@pytest.fixture
def login() -> templates.TemplateSet:
    return compile_set(login=LOGIN)


def fault_of(text: str, data: Mapping[str, Any], field: str = "text") -> str:
    one = compile_set(t={"push": {field: text}})
    with pytest.raises(templates.TemplateFault) as fault:
        one.render("t", Channel.PUSH, data)
    assert fault.value.__cause__ is None
    return str(fault.value)


def test_each_channel_has_its_own_texts(login: templates.TemplateSet) -> None:
    sms, push, email = (
        login.render("login", channel, DATA, ())
        for channel in (Channel.SMS, Channel.PUSH, Channel.EMAIL)
    )

    assert sms == wire.Content(text="【Example】834201 is your code.")
    assert push == wire.Content(
        title="Your code", text="834201", extra={"link": "app://834201", "badge": 1}
    )
    assert email == wire.Content(subject="Code: 834201", text="834201", html="<b>&lt;Li&gt;</b>")


def test_tables_of_provider_kinds_are_filled_in(login: templates.TemplateSet) -> None:
    content = login.render("login", Channel.SMS, DATA)

    assert content.provider_templates == {
        "aliyun": {
            "template": "SMS_1",
            "sign": "Example",
            "params": {"code": "834201", "order.id": "17"},
        },
        "tencent": {"template": "14", "params": {"1": "834201", "2": "17 x"}},
        "wechat": {"template": "TM1", "data": {"code": {"value": "834201", "color": "#000"}}},
    }
    assert list(content.provider_templates["aliyun"]["params"]) == ["code", "order.id"]


def test_only_the_kinds_asked_for_are_filled_in(login: templates.TemplateSet) -> None:
    content = login.render("login", Channel.SMS, {"code": "1"}, ("wechat", "acme"))

    assert set(content.provider_templates) == {"wechat"}


def test_rendering_twice_gives_values_of_their_own(login: templates.TemplateSet) -> None:
    first = login.render("login", Channel.SMS, DATA)
    second = login.render("login", Channel.SMS, {**DATA, "code": "2"})

    assert first.provider_templates["wechat"]["data"]["code"]["value"] == "834201"
    assert second.provider_templates["wechat"]["data"]["code"]["value"] == "2"


def test_a_channel_without_texts_is_offered_by_kinds_only(login: templates.TemplateSet) -> None:
    assert login.offers("login", Channel.SMS, ())
    assert login.offers("login", Channel.WECHAT, ("wechat",))
    assert not login.offers("login", Channel.WECHAT, ("wecom",))
    with pytest.raises(templates.TemplateFault, match="says nothing on rcs"):
        login.render("login", Channel.RCS, DATA, ())


def test_templates_are_known_by_name(login: templates.TemplateSet) -> None:
    assert "login" in login
    assert list(login) == ["login"]
    assert login.category("login") == "otp"
    with pytest.raises(templates.TemplateFault, match="template logn: there is no such template"):
        login.render("logn", Channel.SMS, DATA)


def test_variables_are_those_of_texts_and_kinds(login: templates.TemplateSet) -> None:
    assert login.variables("login") == {"code", "name", "order"}
    assert login.variables("login", Channel.EMAIL, ()) == {"code", "name"}
    assert login.variables("login", Channel.SMS, ("tencent",)) == {"code", "order"}


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (DATA, []),
        ({}, ["code", "order.id"]),
        ({"code": None, "order": {}}, ["code", "order.id"]),
        ({"code": 0, "order": {"id": ""}}, []),
        ({"code": "1", "order": "opaque"}, []),
    ],
)
def test_missing_variables_are_named(
    login: templates.TemplateSet, data: Mapping[str, Any], missing: list[str]
) -> None:
    assert login.missing("login", data, (Channel.SMS,)) == missing


def test_variables_with_a_default_or_a_test_may_be_absent() -> None:
    text = (
        "{{ a|default('x') }}{{ b.c|d('y') }}{% if d is defined %}{{ d.e }}{% endif %}"
        "{% if f is undefined %}-{% endif %}{{ g }}"
    )
    one = compile_set(t={"sms": {"text": text}})

    assert one.missing("t", {}, (Channel.SMS,)) == ["g"]
    assert one.render("t", Channel.SMS, {"b": {}, "g": "!"}).text == "xy-!"


def test_loop_variables_and_settings_inside_are_not_missing() -> None:
    text = "{% set n = 1 %}{% for i in items %}{{ i.name }}{{ n }}{{ loop.index }}{% endfor %}"
    one = compile_set(t={"sms": {"text": text}})

    assert one.missing("t", {}, (Channel.SMS,)) == ["items"]
    assert one.render("t", Channel.SMS, {"items": [{"name": "a"}, {"name": "b"}]}).text == "a11b12"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{ code }}", "code"),
        ("{{ code|upper }}", "code"),
        ("{{ a.b.c }}", "a.b.c"),
        ("{% for i in code %}{% endfor %}", "code"),
        ("{% if code %}{% endif %}{{ name }}", "code, name"),
    ],
)
def test_an_absent_variable_is_named_with_its_template_and_field(text: str, names: str) -> None:
    assert fault_of(text, {"a": {"b": {}}}) == f"template t: push.text: absent: {names}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ table[secret] }}", "a variable is absent or null"),
        ("{{ table.gone.x }}", "absent: table.gone.x"),
        ("{{ secret + 1 }}", "does not fit the data (TypeError)"),
        ("{{ 1 / zero }}", "does not fit the data (ZeroDivisionError)"),
        ("{{ secret.upper }}", "a variable is absent or null"),
        ("{{ nothing }}", "absent: nothing"),
        ("{{ none }}", "a variable is absent or null"),
        ("{{ table.null }}", "absent: table.null"),
    ],
)
def test_faults_never_repeat_values(text: str, reason: str) -> None:
    data = {"table": {"null": None}, "secret": "hunter2", "zero": 0, "nothing": None}

    fault = fault_of(text, data)

    assert fault == f"template t: push.text: {reason}"


@pytest.mark.parametrize("character", ["\r", "\n", "\x00"])
def test_header_fields_refuse_line_breaks_and_nul(character: str) -> None:
    fault = fault_of("{{ x }}", {"x": f"a{character}Bcc: b"}, "title")

    assert fault.startswith("template t: push.title: holds")


MORE = "does more than a message may"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{% for i in range(2000) %}{% for k in range(2000) %}{% endfor %}{% endfor %}", MORE),
        ("{% for i in range(9000) %}{{ x }}{% endfor %}", "longer than 65536 characters"),
        (
            "{% for a in l %}{% for b in l %}{% for c in l %}{% endfor %}{% endfor %}{% endfor %}",
            MORE,
        ),
        ("{{ x * 1000000 }}", MORE),
        ("{{ 'a' * 1000000000 }}", MORE),
        ("{{ [1] * 1000000000 }}", MORE),
        ("{{ 9 ** 999999 }}", MORE),
        ("{{ '%999999999d' % 1 }}", MORE),
        ("{{ x.ljust(999999999) }}", MORE),
        ("{{ x['ljust'](999999999) }}", MORE),
        ("{{ '{:999999999}'.format(1) }}", MORE),
        ("{{ '{:999999999}'['format'](1) }}", MORE),
        ("{{ ('{:999999999}'|attr('format'))(1) }}", MORE),
        ("{{ x.__class__ }}", MORE),
        ("{{ ''.__class__.__mro__ }}", MORE),
        ("{{ l.append(1) }}", MORE),
        ("{{ range(999999999)|list }}", "does not fit the data (OverflowError)"),
    ],
)
def test_runaway_and_prying_templates_are_stopped(text: str, reason: str) -> None:
    fault = fault_of(text, {"x": "a" * 100, "l": list(range(100))})

    assert fault == f"template t: push.text: {reason}"


@pytest.mark.parametrize(
    "text",
    [
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% macro m() %}{{ m() }}{% endmacro %}",
        "{% block b %}{% endblock %}",
        "{% for a in b recursive %}{{ loop(a) }}{% endfor %}",
        "{{ x|center(9) }}",
        "{{ x|nosuch }}",
        "{{ x is nosuch }}",
        "{% for a in b %}" * 30 + "{% endfor %}" * 30,
        "{{ " + "(" * 5000 + "x" + ")" * 5000 + " }}",
    ],
    ids=range(12),
)
def test_what_cannot_be_bounded_does_not_compile(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^templates\.t\.sms\.text: .*template"):
        compile_set(t={"sms": {"text": text}})


def test_every_template_that_does_not_compile_is_told() -> None:
    with pytest.raises(SettingsError) as refusal:
        compile_set(
            t={"sms": {"text": "{{ x|a }}"}, "aliyun": {"params": ["not a name"]}},
            u={"push": {"data": {"k": ["{{ x|b }}"]}}, "tencent": {"params": [5]}},
        )

    assert refusal.value.faults == (
        "templates.t.sms.text: line 1 of the template: No filter named 'a'.",
        "templates.t.aliyun.params[0]: not the name of a variable",
        "templates.u.push.data.k[0]: line 1 of the template: No filter named 'b'.",
        "templates.u.tencent.params[0]: not the name of a variable",
    )


def test_output_is_capped_by_channel() -> None:
    one = compile_set(t={channel: {"text": "{{ x }}"} for channel in ("sms", "email")})

    assert len(one.render("t", Channel.EMAIL, {"x": "a" * 1024 * 1024}).text) == 1024 * 1024
    for channel, size in ((Channel.EMAIL, 1024 * 1024 + 1), (Channel.SMS, 64 * 1024 + 1)):
        with pytest.raises(templates.TemplateFault, match="longer than"):
            one.render("t", channel, {"x": "a" * size})


def test_data_win_over_methods_of_their_table() -> None:
    one = compile_set(t={"sms": {"text": "{{ order.items }}{{ order.keys()|list|length }}"}})

    assert one.render("t", Channel.SMS, {"order": {"items": 3}}).text == "31"


def test_sms_is_composed_and_other_channels_are_left_alone() -> None:
    one = compile_set(t={"sms": {"text": "{{ x }}"}, "push": {"text": "{{ x }}"}})

    assert one.render("t", Channel.SMS, {"x": "e\u0301"}).text == "é"
    assert one.render("t", Channel.PUSH, {"x": "e\u0301"}).text == "e\u0301"


_NAMES = ("code", "name", "a_b", "range", "loop")
_LITERAL = st.text(st.sampled_from("ab <&>\"'\n\r{}%#\\é中😀"), max_size=6)
_VALUES = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.lists(st.integers()),
    st.none(),
)


def _oracle(source: str, data: Mapping[str, Any], html: bool) -> str | None:
    """Jinja as it comes; None when it refuses."""
    environment = jinja2.Environment(autoescape=html, undefined=jinja2.StrictUndefined)
    try:
        return environment.from_string(source).render(data)
    except jinja2.TemplateError:
        return None


@given(
    st.lists(st.tuples(_LITERAL, st.sampled_from(_NAMES)), max_size=4),
    _LITERAL,
    st.dictionaries(st.sampled_from(_NAMES), _VALUES),
    st.booleans(),
)
def test_plain_texts_are_what_jinja_makes_of_them(
    parts: list[tuple[str, str]], end: str, data: dict[str, Any], html: bool
) -> None:
    source = "".join(f"{literal}{{{{ {name} }}}}" for literal, name in parts) + end
    used = {name for _, name in parts}
    if any(data.get(name, 0) is None for name in used) or "range" in used - set(data):
        return  # not Jinja's to answer: ours are stricter, as other tests say
    expected = _oracle(source, data, html)

    try:
        rendered: str | None = jinja.compile_text(source, html=html).render(data, 10_000)
    except ValueError:
        rendered = None

    assert rendered == expected


def test_simple_texts_take_the_cheap_path() -> None:
    text = jinja.compile_text("Hi {{ name }}, {{ code }}.\n")

    assert text._plain == ("Hi ", (("name", ", "), ("code", ".")))


def write(folder: Path, files: Mapping[str, str]) -> settings.Settings:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return settings.parse({"content": {"folder": str(folder)}})


def test_templates_can_be_files(tmp_path: Path) -> None:
    configured = write(
        tmp_path,
        {
            "login-code/email.html.j2": "<b>{{ code }}</b>\n",
            "login-code/email.subject.j2": "Code {{ code }}\n",
            "login-code/push.link.j2": "app://{{ code }}\n",
            "login-code/template.toml": 'category = "otp"\naliyun = { params = ["code"] }\n',
            "login-code/notes.txt": "{{",
            ".git/x.j2": "",
            "README.md": "",
        },
    )

    loaded = templates.load(configured)

    assert list(loaded) == ["login-code"]
    assert loaded.category("login-code") == "otp"
    assert loaded.render("login-code", Channel.EMAIL, {"code": "<1>"}) == wire.Content(
        subject="Code <1>",
        html="<b>&lt;1&gt;</b>",
        provider_templates={"aliyun": {"params": {"code": "<1>"}}},
    )
    assert loaded.render("login-code", Channel.PUSH, {"code": "1"}).extra == {"link": "app://1"}


def test_every_fault_of_the_folder_is_told(tmp_path: Path) -> None:
    configured = write(
        tmp_path,
        {
            "a/emial.html.j2": "",
            "a/sms.j2": "",
            "b/template.toml": "category = ",
            "b/sms.text.j2": "x",
            "c/template.toml": 'category = "otq"\nsms = { text = "x" }',
            "c/sms.text.j2": "y",
        },
    )
    (tmp_path / "b/push.text.j2").write_bytes(b"\xff")

    with pytest.raises(SettingsError) as refusal:
        templates.load(configured)

    shown = [fault.replace(f"{tmp_path}/", "") for fault in refusal.value.faults]
    assert [fault.partition(":")[0] for fault in shown] == [
        "a/emial.html.j2",
        "a/sms.j2",
        "b/template.toml",
        "b/push.text.j2",
        "c/sms.text.j2",
        "templates.a",
        "templates.c.category",
    ]


def test_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    configured = settings.parse({"content": {"folder": str(tmp_path / "none")}})

    with pytest.raises(SettingsError, match=r"content\.folder: .*No such file"):
        templates.load(configured)


def test_a_template_has_one_home(tmp_path: Path) -> None:
    write(tmp_path, {"login/sms.text.j2": "x"})
    configured = settings.parse(
        {"content": {"folder": str(tmp_path)}, "templates": {"login": LOGIN}}
    )

    with pytest.raises(SettingsError, match=r"templates\.login: also in content\.folder"):
        templates.load(configured)
