"""One message of several parts, each with an id and receipts of its own (SMPP), as one attempt.

The store knows a message by one id of its provider: here that of its first part. Receipts of the
others are turned into receipts of the first: it is delivered when all parts are, and has failed
when one has. Until then a delivered part is stored as `sent`, so that it is told in the timeline.

This is kept in memory, for the last so many parts. After a restart, or when the receipts come to
another process, the first part's receipts alone decide, and those of the others name nothing that
is known.
"""

from collections import OrderedDict
from collections.abc import Sequence

from gateway.model import wire
from gateway.model.values import replace

#: Parts that are remembered, some 300 bytes each.
_MOST = 100_000


class _Whole:
    """A message of several parts."""

    __slots__ = ("delivered", "first", "total")

    def __init__(self, first: str, total: int) -> None:
        self.first = first
        self.total = total
        self.delivered: set[str] = set()


class Parts:
    """Which ids are parts of one message."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._whole: OrderedDict[str, _Whole] = OrderedDict()

    def add(self, ids: Sequence[str], total: int) -> None:
        """The last of `ids`, in the order of the parts, has been taken; there will be `total`."""
        if total == 1 or not all(ids):  # a centre that gives no ids reports on none
            return
        whole = self._whole.get(ids[0]) if len(ids) > 1 else None
        self._whole[ids[-1]] = whole or _Whole(ids[0], total)
        while len(self._whole) > self._most:
            self._whole.popitem(last=False)

    def forget(self, ids: Sequence[str]) -> None:
        """The message was not taken as a whole: what is reported on these parts means nothing."""
        for id_ in ids:
            self._whole.pop(id_, None)

    def settle(self, receipt: wire.DeliveryReceipt) -> wire.DeliveryReceipt:
        """What a receipt of a part says of its message."""
        whole = self._whole.get(receipt.provider_id)
        if whole is None:
            return receipt
        about = replace(receipt, provider_id=whole.first)
        if receipt.event is not wire.ReceiptEvent.DELIVERED:
            return about
        whole.delivered.add(receipt.provider_id)
        if len(whole.delivered) >= whole.total:
            return about
        detail = f"{len(whole.delivered)} of {whole.total} parts"
        return replace(about, event=wire.ReceiptEvent.SENT, detail=detail)
