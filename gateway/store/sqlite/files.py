"""The store's files: for this user alone, and held by one process."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from gateway.model.errors import StoreMismatch


def lock(path: Path) -> IO[str]:
    """Hold the database against other gateways until the file is closed. Raises StoreMismatch."""
    while True:
        file = open(f"{path}-lock", "a", opener=private)  # noqa: SIM115 - held as long as the store
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise StoreMismatch(
                f"{path} is in use by another process; SQLite serves exactly one. "
                "For several, set [store] url to a PostgreSQL."
            ) from error
        if _is_at(file):
            break
        file.close()  # its holder removed it while we were opening it
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _is_at(file: IO[str]) -> bool:
    """Whether the file still stands under its name, where others would look for it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except FileNotFoundError:
        return False


def private(path: str, flags: int) -> int:
    """An opener of files for us alone, whatever the umask."""
    file = os.open(path, flags, 0o600)
    os.fchmod(file, 0o600)
    return file


def make_folder(folder: Path) -> None:
    """Make it with those above it, each for us alone, whatever the umask."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
        folder.chmod(0o700)


def make_file(path: Path) -> None:
    """Make it for us alone; its log and index take that over.

    One that exists is not opened: closing it would drop the locks of our other connections.
    """
    with contextlib.suppress(FileExistsError):
        os.close(private(str(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
