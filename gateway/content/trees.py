"""Tables with templates in them: providers' own templates, a channel's own values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.content import jinja


class Node(Protocol):
    """A compiled value."""

    @property
    def names(self) -> frozenset[str]:
        """Variables that it names."""
        ...

    @property
    def required(self) -> frozenset[jinja.Path]:
        """Those that must be given."""
        ...

    def render(self, data: Mapping[str, Any], limit: int) -> Any:
        """The value with every text filled in, each of at most `limit` characters.

        Raises Unrendered. The value may be shared between calls: nobody changes it.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A value without templates."""

    value: Any
    names: frozenset[str] = frozenset()
    required: frozenset[jinja.Path] = frozenset()

    def render(self, data: Mapping[str, Any], limit: int) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class _Table:
    """Entries with templates, and all entries as they were, to keep their order."""

    fixed: Mapping[str, Any]
    nodes: tuple[tuple[str, Node], ...]
    names: frozenset[str] = field(init=False)
    required: frozenset[jinja.Path] = field(init=False)

    def __post_init__(self) -> None:
        _sum_up(self, [node for _, node in self.nodes])

    def render(self, data: Mapping[str, Any], limit: int) -> Any:
        made = dict(self.fixed)
        for key, node in self.nodes:
            made[key] = node.render(data, limit)
        return made


@dataclass(frozen=True, slots=True)
class _List:
    nodes: tuple[Node, ...]
    names: frozenset[str] = field(init=False)
    required: frozenset[jinja.Path] = field(init=False)

    def __post_init__(self) -> None:
        _sum_up(self, self.nodes)

    def render(self, data: Mapping[str, Any], limit: int) -> Any:
        return [node.render(data, limit) for node in self.nodes]


def _sum_up(made: _Table | _List, nodes: Iterable[Node]) -> None:
    nodes = tuple(nodes)
    names = frozenset(name for node in nodes for name in node.names)
    required = frozenset(path for node in nodes for path in node.required)
    object.__setattr__(made, "names", names)
    object.__setattr__(made, "required", required)


def compile_field(path: str, value: Any) -> Node:
    """A field of a channel; one named `html` escapes its variables. Raises as `compile_tree`."""
    if isinstance(value, str):
        return _compile(path, value, html=path.endswith(".html"))
    return compile_tree(path, value)


def compile_tree(path: str, value: Any) -> Node:
    """path: of the value, for the error. Raises ValueError that begins with a path and a colon."""
    if isinstance(value, str):
        return _compile(path, value) if "{" in value else _Fixed(value)
    if isinstance(value, Mapping):
        entries = [(key, _compile_entry(f"{path}.{key}", key, one)) for key, one in value.items()]
        nodes = tuple((key, node) for key, node in entries if not isinstance(node, _Fixed))
        return _Table(value, nodes) if nodes else _Fixed(value)
    if isinstance(value, list | tuple):
        items = [compile_tree(f"{path}[{place}]", item) for place, item in enumerate(value)]
        fixed = all(isinstance(item, _Fixed) for item in items)
        return _Fixed(list(value)) if fixed else _List(tuple(items))
    return _Fixed(value)


def _compile_entry(path: str, key: str, value: Any) -> Node:
    """`params = ["code"]` lists variables; any other entry is what it says."""
    if key == "params" and isinstance(value, list | tuple):
        texts = tuple(_parameter(f"{path}[{at}]", at, one) for at, one in enumerate(value))
        return _Table({}, texts)
    return compile_tree(path, value)


def _parameter(path: str, place: int, value: Any) -> tuple[str, Node]:
    """A variable goes by its name, a template text by its number from 1 on."""
    if isinstance(value, str) and "{" in value:
        return str(place + 1), _compile(path, value)
    if not isinstance(value, str) or not all(part.isidentifier() for part in value.split(".")):
        raise ValueError(f"{path}: not the name of a variable")
    return value, _compile(path, "{{ " + value + " }}")


def _compile(path: str, source: str, *, html: bool = False) -> jinja.Text:
    try:
        return jinja.compile_text(source, html=html)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
