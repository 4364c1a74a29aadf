"""Requests described in configuration: JSON structures and texts with Jinja templates in them.

Templates (https://jinja.palletsprojects.com/templates/) can name `to`, `content`, `data`,
`message_id`, `reference`, `callback_url` and `category`; what is missing is empty. Each is
compiled once. `{{ to.phone }}` and its like, which is what requests mostly consist of, are looked
up directly, with the output that Jinja would give. Every value is escaped for the place where it
lands. Known weakness: a template that fails on the data of one message leaves its place empty.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from operator import attrgetter
from typing import Any, TypeAlias
from urllib.parse import quote

import jinja2
import orjson
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.model import errors, wire

Escape: TypeAlias = Callable[[str], str]
Text: TypeAlias = Callable[[wire.Message], str]
Tree: TypeAlias = Callable[[wire.Message], Any]

#: What Jinja raises for a template that does not fit the data.
_RENDER_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
_SIMPLE = re.compile(r"\{\{\s*([a-z_]+(?:\.[A-Za-z]\w*)?)\s*\}\}", re.ASCII)
#: Jinja reads `{{{` and comments in its own way and turns \r\n into \n: such a text is left to it.
_INTRICATE = re.compile(r"\{[{%#]|\{$|\r")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_GETTERS: Mapping[str, Tree] = {
    "message_id": attrgetter("id"),
    **{name: attrgetter(name) for name in ("reference", "callback_url", "category")},
    **{f"to.{one}": attrgetter(f"to.{one}") for one in wire.Address.__struct_fields__},
    **{
        f"content.{name}": attrgetter(f"content.{name}")
        for name in ("text", "subject", "title", "html")
    },
}


def percent(text: str) -> str:
    """For a URL: a value can neither leave its path segment nor add a parameter."""
    return quote(text, safe="", errors="replace")


def one_line(text: str) -> str:
    """For a header: no control character, which could end it (RFC 9110 §5.5)."""
    return _CONTROLS.sub(" ", text)


def json_text(text: str) -> str:
    """For the inside of a JSON string."""
    return orjson.dumps(text)[1:-1].decode()


def escape_for(content_type: str) -> Escape:
    """How a value is written in a text of this type."""
    if "json" in content_type:
        return json_text
    return escape if "xml" in content_type or "html" in content_type else str


def compile_tree(path: str, value: Any, finish: Escape = str) -> Tree:
    """A function that renders a JSON structure; what holds no template is made once.

    path: key of the structure in the account's settings. Raises SettingsError as `compile_text`.
    """
    if isinstance(value, str):
        return compile_text(path, value, finish)
    if isinstance(value, Mapping):
        return _table(path, value, finish)
    if isinstance(value, list | tuple):
        nodes = [compile_tree(f"{path}[{at}]", item, finish) for at, item in enumerate(value)]
        return lambda message: [node(message) for node in nodes]
    return lambda message: value


def _table(path: str, value: Mapping[str, Any], finish: Escape) -> Tree:
    nodes = [
        (key, compile_tree(f"{path}.{key}", item, finish))
        for key, item in value.items()
        if isinstance(item, Mapping | list | tuple) or _is_template(item)
    ]
    fixed = dict(value)  # in the order given; places of `nodes` are overwritten
    if not nodes:
        return lambda message: fixed

    def render(message: wire.Message) -> dict[str, Any]:
        made = fixed.copy()
        for key, node in nodes:
            made[key] = node(message)
        return made

    return render


def _is_template(value: object) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def compile_text(path: str, text: str, finish: Escape) -> Text:
    """A function that renders one template, `finish` applied to every value in it.

    Raises SettingsError, naming `path`, when it is not a template.
    """
    if not _is_template(text):
        return lambda message: text
    slow = _jinja(path, text, finish)
    literals = _SIMPLE.split(text)[::2]
    getters = [_getter(name) for name in _SIMPLE.findall(text)]
    known = [getter for getter in getters if getter]
    if len(known) < len(getters) or any(_INTRICATE.search(literal) for literal in literals):
        return slow
    return _fast(known, literals, finish, slow)


def _getter(name: str) -> Tree | None:
    root, _, key = name.partition(".")
    if root == "data" and key and not hasattr(dict, key):  # Jinja prefers a dict's methods
        return lambda message: message.data.get(key)
    return _GETTERS.get(name)


def _fast(getters: Sequence[Tree], literals: Sequence[str], finish: Escape, slow: Text) -> Text:
    """Texts are put together here, any other value is left to Jinja."""
    head, pairs = literals[0], list(zip(getters, literals[1:], strict=True))

    def render(message: wire.Message) -> str:
        made = head
        for getter, literal in pairs:
            value = getter(message)
            if type(value) is not str:
                return slow(message)
            made += finish(value) + literal
        return made

    return _whole(getters[0], slow) if finish is str and list(literals) == ["", ""] else render


def _whole(getter: Tree, slow: Text) -> Text:
    """A template that is one value and nothing else: most of a request's body is of this kind."""

    def render(message: wire.Message) -> str:
        value = getter(message)
        return value if type(value) is str else slow(message)

    return render


def _jinja(path: str, text: str, finish: Escape) -> Text:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.ChainableUndefined,
        keep_trailing_newline=True,
        finalize=lambda value: finish(str(value)),
    )
    try:
        template = environment.from_string(text)
    except jinja2.TemplateError as error:
        raise errors.SettingsError([f"{path}: {error.message}"]) from error

    def render(message: wire.Message) -> str:
        try:
            return template.render(
                to=message.to,
                content=message.content,
                data=message.data,
                message_id=message.id,
                reference=message.reference,
                callback_url=message.callback_url,
                category=message.category,
            )
        except _RENDER_ERRORS:
            return ""

    return render
