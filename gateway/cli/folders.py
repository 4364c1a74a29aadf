"""Where sandbox and demo keep their files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.cli import sandbox


@contextmanager
def opened(keep: Path | None) -> Iterator[Path]:
    """The folder to keep, made if need be, or a temporary one that is removed afterwards.

    Raises SettingsError for a folder whose configuration would be overwritten.
    """
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        sandbox.spare(keep)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        yield Path(name).resolve()
