"""Where sandbox and demo keep their files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def opened(keep: Path | None) -> Iterator[Path]:
    """The folder to keep, made if need be, or a temporary one that is removed afterwards."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        yield Path(name).resolve()
