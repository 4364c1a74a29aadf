"""Jinja for messages: sandboxed, strict, bounded, and compiled once.

Sandbox: https://jinja.palletsprojects.com/en/stable/sandbox/. A variable that is absent or null is
an error, since a message with a hole in it must not go out. Bounds: output, turns of loops, no
other files, macros or recursion, no operator or filter that makes much out of little. Errors never
repeat a value. Known weakness: the time of one turn is bounded only by the size of the data.

Plain `{{ name }}` substitutions, which is what messages mostly consist of, are joined directly,
with the output that Jinja would give.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import jinja2
from jinja2 import exceptions, meta, nodes, sandbox
from markupsafe import escape

#: Turns of all loops of one rendering together; messages list dozens of items, not thousands.
LOOP_LIMIT: Final = 10_000

#: A variable and the keys inside it, such as ("order", "id").
Path: TypeAlias = tuple[str, ...]

#: Names that no template can write.
_BUDGET, _BOUNDED = " budget", " bounded"
_FORBIDDEN = (
    nodes.Block,
    nodes.CallBlock,
    nodes.Extends,
    nodes.FromImport,
    nodes.Import,
    nodes.Include,
    nodes.Macro,
)
#: Their output can be far larger than their input, or differs when a message is sent again.
_UNSAFE_FILTERS = ("center", "format", "indent", "random", "wordwrap", "xmlattr", "pprint")
_UNSAFE_METHODS = frozenset(
    {"center", "expandtabs", "format", "format_map", "ljust", "rjust", "translate", "zfill"}
)
#: What a template raises that does not fit the data.
_RENDER_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class Unrendered(ValueError):
    """The text cannot be made of these data. The message holds names, never values."""


class _NoText(jinja2.TemplateRuntimeError):
    """A value is null, or a method, where it should be written."""


@dataclass(slots=True)
class _Budget:
    left: int = LOOP_LIMIT


@jinja2.pass_context
def _bounded(context: jinja2.runtime.Context, items: Iterable[Any]) -> Iterator[Any]:
    budget = context[_BUDGET]
    for item in items:
        budget.left -= 1
        if budget.left < 0:
            raise exceptions.SecurityError(f"more than {LOOP_LIMIT} turns of loops")
        yield item


def _writable(value: Any) -> Any:
    if value is None or (callable(value) and not isinstance(value, jinja2.Undefined)):
        raise _NoText("null or a method")
    return value


class _Environment(sandbox.ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, *, html: bool) -> None:
        super().__init__(autoescape=html, undefined=jinja2.StrictUndefined, finalize=_writable)
        self.globals = {"range": self.globals["range"]}
        self.filters[_BOUNDED] = _bounded
        for name in _UNSAFE_FILTERS:
            del self.filters[name]

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" or not numbers:
            raise exceptions.SecurityError(f"operator {operator} is for numbers, ** for none")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Data first: `order.items` is the order's items, not a method of its dict."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if _is_unsafe(obj, attribute):
            return self.unsafe_undefined(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if _is_unsafe(obj, argument):
            return self.unsafe_undefined(obj, argument)
        return super().getitem(obj, argument)


def _is_unsafe(obj: Any, name: Any) -> bool:
    """Asked here and not in `is_safe_attribute`, which the sandbox passes by for `format`."""
    return isinstance(obj, str | bytes) and isinstance(name, str) and name in _UNSAFE_METHODS


_TEXT, _HTML = _Environment(html=False), _Environment(html=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One compiled template."""

    #: variables that it names
    names: frozenset[str]
    #: what must be given: not those with a default or a test for being defined
    required: frozenset[Path]
    _template: jinja2.Template = field(repr=False)
    _html: bool
    #: literal text up to the first variable, then pairs of variable and literal; None: not plain
    _plain: tuple[str, tuple[tuple[str, str], ...]] | None = field(repr=False)

    def render(self, data: Mapping[str, Any], limit: int) -> str:
        """The text, of at most `limit` characters. Raises Unrendered."""
        text = None if self._plain is None else _join(*self._plain, data, html=self._html)
        if text is None:
            return self._run(data, limit)
        if len(text) > limit:
            raise Unrendered(f"longer than {limit} characters")
        return text

    def _run(self, data: Mapping[str, Any], limit: int) -> str:
        chunks, size = [], 0
        try:
            context = self._template.new_context({**data, _BUDGET: _Budget()})
            for chunk in self._template.root_render_func(context):
                size += len(chunk)
                if size > limit:
                    raise Unrendered(f"longer than {limit} characters")
                chunks.append(chunk)
        except Unrendered:
            raise
        except _RENDER_ERRORS as error:
            raise Unrendered(self._reason(error, data)) from None
        return "".join(chunks)

    def _reason(self, error: Exception, data: Mapping[str, Any]) -> str:
        if isinstance(error, exceptions.SecurityError):
            return "does more than a message may"
        if not isinstance(error, jinja2.UndefinedError | _NoText):
            return f"does not fit the data ({type(error).__name__})"
        absent = ", ".join(find_absent(self.required, data))
        return f"absent: {absent}" if absent else "a variable is absent or null"


def find_absent(required: Iterable[Path], data: Mapping[str, Any]) -> list[str]:
    """Required variables that are absent or null, as `order.id`, sorted."""
    return sorted(".".join(path) for path in required if _lacks(data, path))


def _join(
    text: str, pairs: Iterable[tuple[str, str]], data: Mapping[str, Any], *, html: bool
) -> str | None:
    """None where a value is absent or neither text nor a whole number: left to Jinja."""
    for name, literal in pairs:
        value = data.get(name)
        if type(value) is str:
            text += str(escape(value)) if html else value
        elif type(value) is int:
            text += str(value)
        else:
            return None
        text += literal
    return text


def _lacks(data: Mapping[str, Any], path: Path) -> bool:
    """Whether a path leads nowhere. What is not a mapping may have anything inside."""
    if len(path) == 1:
        return data.get(path[0]) is None
    value: Any = data
    for depth, key in enumerate(path):
        if not isinstance(value, Mapping):
            return False
        if key not in value:
            return depth == 0 or not hasattr(dict, key)  # `order.items()` is a call
        value = value[key]
    return value is None


def compile_text(source: str, *, html: bool = False) -> Text:
    """Raises ValueError with Jinja's complaint, or ours, and its line."""
    environment = _HTML if html else _TEXT
    try:
        tree = environment.parse(source)
        for node in tree.find_all(_FORBIDDEN):
            word = type(node).__name__.lower()
            raise ValueError(f"line {node.lineno} of the template: {word} cannot be used here")
        names = frozenset(meta.find_undeclared_variables(tree))
        required, plain = _required(tree, names), _plain(tree, names)
        return Text(
            names=names,
            required=required,
            _template=environment.from_string(_bound_loops(tree)),
            _html=html,
            _plain=plain,
        )
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno} of the template: {error.message}") from None
    except (RecursionError, SyntaxError):  # limits of Python, which the template is turned into
        raise ValueError("the template nests too deeply") from None


def _bound_loops(tree: nodes.Template) -> nodes.Template:
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise ValueError(f"line {loop.lineno} of the template: loops cannot be recursive")
        loop.iter = nodes.Filter(
            loop.iter,
            _BOUNDED,
            [],
            [],
            None,
            None,
            lineno=loop.lineno,
            environment=tree.environment,
        )
    return tree


def _required(tree: nodes.Template, names: frozenset[str]) -> frozenset[Path]:
    found = {(path, optional) for path, optional in _paths(tree, False) if path[0] in names}
    excused = {path for path, optional in found if optional}
    return frozenset(
        path
        for path, _ in found
        if not any(path[:length] in excused for length in range(1, len(path) + 1))
    )


def _paths(node: nodes.Node, optional: bool) -> Iterator[tuple[Path, bool]]:
    """Every variable that is read, and whether the template minds when it is absent."""
    if path := _path(node):
        yield path, optional
        return
    guards = (isinstance(node, nodes.Filter) and node.name in ("default", "d")) or (
        isinstance(node, nodes.Test) and node.name in ("defined", "undefined")
    )
    for child in node.iter_child_nodes():
        yield from _paths(child, optional or guards)


def _path(node: nodes.Node) -> Path:
    """The path of `a.b["c"]`; empty for anything else."""
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr):
        inner = _path(node.node)
        return (*inner, node.attr) if inner else ()
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        inner = _path(node.node)
        return (*inner, node.arg.value) if inner and isinstance(node.arg.value, str) else ()
    return ()


def _plain(
    tree: nodes.Template, names: frozenset[str]
) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """See `Text._plain`."""
    literals, variables = [""], []
    for statement in tree.body:
        if not isinstance(statement, nodes.Output):
            return None
        for node in statement.nodes:
            if isinstance(node, nodes.TemplateData):
                literals[-1] += node.data
            elif isinstance(node, nodes.Name) and node.name in names:
                variables.append(node.name)
                literals.append("")
            else:
                return None
    return literals[0], tuple(zip(variables, literals[1:], strict=True))
