"""Named SQL made ready for the driver: `:name` becomes `$1`, and several queries one statement.

One statement is one round trip, and so is one of many queries; a transaction that writes to ten
tables is then as quick as one that writes to one.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from gateway.model.values import value
from gateway.store import queries

#: Columns of a claimed row, as `rows.join_claimed` takes them after place and message.
_CLAIMED = """q.message::text, q.step, q.part, q.lane, q.pin, q.priority, q.rank, q.flow, q.weight,
              q.due_ms, q.expires_ms, q.attempts, q.units, q.once, q.epoch, q.taker"""

#: Messages as lists show them: id, state, category, created_ms, expires_ms, metadata or body,
#: started, claimed. PostgreSQL cannot look into JSON that has a U+0000 in it: where there is one,
#: metadata is null and the body is given whole.
_LISTED = r"""m.id::text, s.state, m.category, m.created_ms, s.expires_ms,
    CASE WHEN position('\u0000' IN m.body) = 0
         THEN coalesce(m.body::json -> 'metadata', '{}')::text END,
    CASE WHEN position('\u0000' IN m.body) > 0 THEN m.body END,
    s.version > 0 OR EXISTS (SELECT 1 FROM queue r WHERE r.message = m.id AND r.rank IS NOT NULL),
    EXISTS (SELECT 1 FROM queue r WHERE r.message = m.id AND r.owner IS NOT NULL)"""

FRAGMENTS: Mapping[str, str] = {"claimed": _CLAIMED, "listed": _LISTED}

QUERIES = queries.load("postgres", FRAGMENTS)

#: A parameter, which is not the second half of a cast.
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)(::\w+\[\])?")


@value()
class Statement:
    """SQL as the driver takes it, with the names of its parameters in their order."""

    sql: str
    names: Sequence[str]
    #: which of them are columns, and which of these hold texts
    columns: Sequence[int]
    texts: frozenset[int]

    def storable(self, parameters: Sequence[Any]) -> list[Any]:
        """Parameters with the characters that a text cannot hold written in others."""
        return [
            (_escape_column(one) if place in self.texts else one)
            if not isinstance(one, str)
            else _escape(one)
            for place, one in enumerate(parameters)
        ]


@cache
def single(name: str) -> Statement:
    """A query by its name."""
    return _numbered(QUERIES[name], first=1)


@cache
def joined(names: tuple[str, ...]) -> Statement:
    """Queries that write, as one statement, each with its columns in turn; gives the number of the
    transaction. They all see the tables as they were before it."""
    parts: list[str] = []
    parameters: list[str] = []
    texts: set[int] = set()
    for name in names:
        one = _numbered(QUERIES[name], first=len(parameters) + 1)
        parts.append(f"{name} AS ({one.sql})")
        texts |= {len(parameters) + place for place in one.texts}
        parameters += one.names
    return Statement(
        sql=f"WITH {', '.join(parts)} SELECT pg_current_xact_id()::text",
        names=parameters,
        columns=range(len(parameters)),
        texts=frozenset(texts),
    )


def _numbered(sql: str, *, first: int) -> Statement:
    places: dict[str, int] = {}
    types: dict[int, str] = {}

    def number(found: re.Match[str]) -> str:
        name, cast = found.groups()
        place = places.setdefault(name, len(places))
        if cast:
            types[place] = cast
        return f"${first + place}{cast or ''}"

    return Statement(
        sql=_PARAMETER.sub(number, sql),
        names=list(places),
        columns=sorted(types),
        texts=frozenset(place for place, cast in types.items() if cast == "::text[]"),
    )


#: PostgreSQL's texts hold any character but U+0000; it is written as two others.
_ESCAPE, _ESCAPED, _NUL = "\x1a", "\x1a1", "\x1a0"


def _escape_column(texts: Sequence[str | None]) -> Sequence[str | None]:
    together = "".join([one for one in texts if one is not None])
    if "\x00" not in together and _ESCAPE not in together:
        return texts
    return [one if one is None else _escape(one) for one in texts]


def _escape(text: str) -> str:
    if "\x00" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, _ESCAPED).replace("\x00", _NUL)


def original(text: str) -> str:
    """A text that was stored, as it was given."""
    if _ESCAPE not in text:
        return text
    return text.replace(_NUL, "\x00").replace(_ESCAPED, _ESCAPE)
