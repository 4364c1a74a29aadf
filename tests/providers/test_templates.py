"""The direct look-ups against Jinja itself, and escaping in every place."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import jinja2
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.model import errors, wire
from gateway.providers import templates

Message = Callable[..., wire.Message]

FAST = ["to.phone", "to.token", "content.text", "content.title", "message_id", "reference"]
DATA_NAMES = ["data.code", "data.n", "data.none", "data.missing", "data.items", "data.deep.x"]
SLOW = ["category", "callback_url", "content.extra", "data", "nobody", "nobody.x", "to.nobody"]
EXPRESSIONS = st.tuples(
    st.sampled_from(["{{", "{{ ", "{{-"]),
    st.sampled_from([*FAST, *DATA_NAMES, *SLOW]),
    st.sampled_from(["", " ", "|upper", " | e"]),
    st.sampled_from(["}}", " }}", "-}}"]),
    st.sampled_from(["", "}", "\n"]),
).map("".join)
LITERALS = st.text(st.sampled_from(" {}%#\r\nab\u00e9"), max_size=5)
DATA = {"code": '<b>"1"</b>\r\n{{ to.phone }}', "n": 5, "none": None, "deep": {"x": "y"}}


def by_jinja(text: str, message: wire.Message) -> str | None:
    """What Jinja makes of it; None when it is no template."""
    environment = jinja2.Environment(
        undefined=jinja2.ChainableUndefined, keep_trailing_newline=True, autoescape=False
    )
    names = ("to", "content", "data", "reference", "callback_url", "category")
    context: dict[str, Any] = {name: getattr(message, name) for name in names}
    try:
        return environment.from_string(text).render(message_id=message.id, **context)
    except jinja2.TemplateError:
        return None


@settings(deadline=None)
@given(pieces=st.lists(st.one_of(EXPRESSIONS, LITERALS), max_size=5))
@example(pieces=["{", "{{ to.phone }}", "}"])
@example(pieces=["{#", "{{ to.phone }}", "#}"])
@example(pieces=["\r\n", "{{ to.phone }}"])
@example(pieces=["{% raw %}", "{{ to.phone }}", "{% endraw %}"])
def test_output_is_that_of_jinja(pieces: list[str], message: Message) -> None:
    text, one = "".join(pieces), message(data=DATA)
    # Without an expression or a block a text is taken as it stands, comments and all.
    expected = by_jinja(text, one) if "{{" in text or "{%" in text else text

    if expected is None:
        with pytest.raises(errors.SettingsError):
            templates.compile_text("body", text, str)
    else:
        assert templates.compile_text("body", text, str)(one) == expected


@pytest.mark.parametrize("name", ["content.text", "content.text | string"])
@settings(deadline=None)
@given(text=st.text())
def test_values_cannot_leave_their_place(name: str, text: str, message: Message) -> None:
    one = message(content=wire.Content(text=text))
    template = f'"{{{{ {name} }}}}"'

    in_url = templates.compile_text("url", template, templates.percent)(one)
    in_header = templates.compile_text("headers.x", template, templates.one_line)(one)
    in_json = templates.compile_text("body", template, templates.escape_for("text/json"))(one)
    in_xml = templates.compile_text("body", template, templates.escape_for("text/xml"))(one)

    assert unquote(in_url) == f'"{text}"'
    assert not set(in_url[1:-1]) & set("/?#&=@: ")
    assert not set(in_header) & set("\r\n\0")
    assert orjson.loads(in_json) == text
    assert not set(in_xml[1:-1]) & set("<>\"'")


def test_structure_keeps_its_shape_and_order(message: Message) -> None:
    structure = {
        "z": "{{ to.phone }}",
        "plain": "{# kept #}",
        "n": 5,
        "none": None,
        "list": ["{{ data.code }}", 1, {"deep": "{{ category }}!"}],
        "a": {"b": {}},
    }

    tree = templates.compile_tree("body", structure)
    first = tree(message(data={"code": "1"}))
    second = tree(message(data={"code": "2"}, category="service"))

    assert list(first) == list(structure)
    assert first == {
        **structure,
        "z": "+15005550009",
        "list": ["1", 1, {"deep": "otp!"}],
    }
    assert second["list"] == ["2", 1, {"deep": "service!"}]


def test_template_that_does_not_fit_the_data_leaves_its_place_empty(message: Message) -> None:
    tree = templates.compile_tree("body", {"a": "{{ data.n / 2 }}", "b": "{{ data.n }}"})

    assert tree(message(data={"n": "x"})) == {"a": "", "b": "x"}
    assert tree(message(data={"n": 4})) == {"a": "2.0", "b": "4"}


@pytest.mark.parametrize(
    "text", ["{{ to.__class__.__mro__ }}", "{{ data.update({'x': 1}) }}", "{{ data.pop('code') }}"]
)
def test_templates_reach_no_internals_and_change_nothing(text: str, message: Message) -> None:
    one = message(data={"code": "1"})

    assert templates.compile_text("body", text, str)(one) == ""
    assert one.data == {"code": "1"}


def test_broken_template_is_a_fault_with_its_place() -> None:
    with pytest.raises(errors.SettingsError) as caught:
        templates.compile_tree("body", {"list": ["x", {"deep": "{{ to."}]})

    assert caught.value.faults[0].startswith("body.list[1].deep: ")
