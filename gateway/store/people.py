"""What both engines make of rows about recipients."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from gateway.model.message import MessageId
from gateway.model.recipient import Upserted
from gateway.store.recipients import Scanned


def put_apart(
    known: Iterable[tuple[int, bool | int]], count: int
) -> tuple[list[Upserted], list[int]]:
    """What each row is, and the places of those to write. known: (place, same), of those that are
    kept already."""
    verdicts = [Upserted.NEW] * count
    for place, same in known:
        verdicts[place] = Upserted.UNCHANGED if same else Upserted.CHANGED
    others = [place for place, one in enumerate(verdicts) if one is not Upserted.UNCHANGED]
    return verdicts, others


def by_address(
    found: Iterable[Sequence[str]],
) -> Mapping[tuple[str, str], Sequence[str]]:
    """found: (channel, hash, recipient)."""
    ids: dict[tuple[str, str], list[str]] = defaultdict(list)
    for channel, hash_, recipient in found:
        ids[channel, hash_].append(recipient)
    return ids


def like(text: str) -> str:
    r"""A pattern for what holds a text; `\` escapes."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def scanned(found: Sequence[tuple[MessageId, bool | int]], limit: int) -> Scanned:
    """found: (message, whether it is looked for) of up to `limit` messages."""
    return Scanned(
        found=[id_ for id_, held in found if held],
        cursor=found[-1][0] if len(found) == limit else "",
    )


def erased_events(ids: Iterable[MessageId], now_ms: int) -> Sequence[Sequence[object]]:
    """As `put_events` takes it that messages were erased."""
    return [(id_, now_ms, "erased", "", "", "") for id_ in ids]
