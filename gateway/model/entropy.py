"""Random bytes for ids, drawn from the system for many at once.

A call to the system gives up the interpreter's lock, and beside a busy thread it takes 30 µs to get
that back, which is a third of what it costs to accept a message. Keys and secrets do not come from
here but straight from the system.
"""

import os
import threading

#: Bytes of one draw.
_DRAWN = 4096

_lock = threading.Lock()
_stock = b""
_used = 0


def draw(count: int) -> bytes:
    """So many random bytes, which nobody else gets."""
    global _stock, _used
    with _lock:
        if _used + count > len(_stock):
            _stock, _used = os.urandom(max(_DRAWN, count)), 0
        start = _used
        _used += count
        return _stock[start : start + count]


def _forget() -> None:
    """A fork must not draw what its parent draws."""
    global _stock, _lock
    _stock, _lock = b"", threading.Lock()


os.register_at_fork(after_in_child=_forget)
