"""Named SQL made ready for the driver: `:name` becomes `$1`, and several queries one statement.

One statement is one round trip, and so is one of many queries; a transaction that writes to ten
tables is then as quick as one that writes to one.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from gateway.model.values import Value
from gateway.store import queries
from gateway.store.postgres import literals

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
    {phase}"""

#: Whether a message's time has come, and whether it is claimed. Not by EXISTS, which the planner
#: might answer for many messages by reading the whole queue.
_PHASE = """s.version > 0 OR (SELECT true FROM queue r
                             WHERE r.message = m.id AND r.rank IS NOT NULL LIMIT 1) IS NOT NULL,
    (SELECT true FROM queue r
     WHERE r.message = m.id AND r.owner IS NOT NULL LIMIT 1) IS NOT NULL"""

#: Differs after every crash and on every other server. Numbers of transactions that had not come to
#: the log are given again after a crash, so a number alone may be somebody else's by then. The
#: second half is for a crash of a server process, after which the first starts the rest anew.
_LIFE = """(extract(epoch FROM pg_postmaster_start_time())::text || '/'
    || coalesce(extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())::text, ''))"""

FRAGMENTS: Mapping[str, str] = {
    "claimed": _CLAIMED,
    "life": _LIFE,
    "listed": _LISTED,
    "phase": _PHASE,
}

QUERIES = queries.load("postgres", FRAGMENTS)

#: A parameter, which is not the second half of a cast; one that is cast to an array is a column.
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)(?:::(\w+)\[\])?")


class Statement(Value):
    """SQL as the driver takes it, with the names of its parameters in their order."""

    sql: str
    names: Sequence[str]
    #: the types of those that are columns, by name
    columns: Mapping[str, str]

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """The values of its parameters, as it takes them."""
        return [self._parameter(name, values[name]) for name in self.names]

    def _parameter(self, name: str, given: Any) -> Any:
        if name in self.columns:
            return literals.column(given, of_texts=self.columns[name] == "text")
        return literals.text(given) if isinstance(given, str) else given


@cache
def single(name: str) -> Statement:
    """A query by its name."""
    return _numbered(QUERIES[name], first=1)


@cache
def joined(names: tuple[str, ...]) -> str:
    """Queries that write, as one statement, whose parameters are theirs in turn; gives the number
    of the transaction and the server's life. They all see the tables as they were before it."""
    parts, count = [], 0
    for name in names:
        one = _numbered(QUERIES[name], first=count + 1)
        parts.append(f"{name} AS ({one.sql})")
        count += len(one.names)
    return f"WITH {', '.join(parts)} SELECT pg_current_xact_id()::text || '/' || {_LIFE}"


def _numbered(sql: str, *, first: int) -> Statement:
    places: dict[str, int] = {}
    columns: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        name, type_ = found.groups()
        place = places.setdefault(name, first + len(places))
        if type_ is None:
            return f"${place}"
        columns[name] = type_
        return f"${place}::text::{type_}[]"

    return Statement(sql=_PARAMETER.sub(number, sql), names=list(places), columns=columns)
