"""Who may open the file, and in which state of its schema."""

import asyncio
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import pytest

from gateway.model.errors import StoreMismatch
from gateway.model.permission import Reason, Suppression
from gateway.model.state import State
from gateway.model.values import replace
from gateway.model.view import MessageFilter
from gateway.store import queries
from gateway.store.sqlite.store import SqliteStore

NEWEST = queries.migrations("sqlite")[-1][0]


@pytest.fixture
def path() -> Iterator[Path]:
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with TemporaryDirectory(dir=where, prefix="gateway-") as name:
        yield Path(name) / "deep" / "gateway.db"


def version(path: Path) -> int:
    connection = apsw.Connection(str(path))
    try:
        return int(connection.pragma("user_version"))
    finally:
        connection.close()


def set_version(path: Path, number: int) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", number)
    connection.close()


def fill_with_prose(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"Dear diary, " * 1000)


async def test_new_file_is_set_up(path: Path) -> None:
    async with SqliteStore(path, owner="n1", migrate=False) as store:
        await store.check()

    assert version(path) == NEWEST


async def test_file_survives_being_opened_again(path: Path) -> None:
    async with SqliteStore(path, owner="n1") as store:
        secret = await store.secret("s")

    async with SqliteStore(path, owner="n2") as store:
        assert await store.secret("s") == secret


async def test_newer_schema_is_refused(path: Path) -> None:
    async with SqliteStore(path, owner="n1"):
        pass
    set_version(path, NEWEST + 1)

    with pytest.raises(StoreMismatch, match="newer"):
        await SqliteStore(path, owner="n2").__aenter__()

    assert version(path) == NEWEST + 1


async def test_older_schema_is_refused_without_migration(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteStore(path, owner="n1"):
        pass
    later = (NEWEST + 1, "CREATE TABLE later (x INTEGER) STRICT")
    steps = [*queries.migrations("sqlite"), later]
    monkeypatch.setattr(queries, "migrations", lambda engine: steps)

    with pytest.raises(StoreMismatch, match="gateway migrate"):
        await SqliteStore(path, owner="n2", migrate=False).__aenter__()
    async with SqliteStore(path, owner="n3", migrate=True):
        pass

    assert version(path) == NEWEST + 1


async def test_messages_of_an_older_file_are_listed(path: Path, make: Any) -> None:
    """A file of the first schema, with messages of a tenant and one of our own."""
    steps = queries.migrations("sqlite")
    path.parent.mkdir()
    connection = apsw.Connection(str(path))
    connection.execute(steps[0][1])
    connection.execute("PRAGMA user_version = 1")
    for internal in (0, 1):
        made = make.message()
        connection.execute(
            "INSERT INTO message VALUES (?, 'billing', 'otp', ?, 1, ?)",
            (made.id, internal, made.body),
        )
        connection.execute("INSERT INTO status VALUES (?, 'failed', 1, 0, 'failed', 2)", (made.id,))
    connection.close()

    async with SqliteStore(path, owner="n1") as store:
        page = await store.list("billing", MessageFilter(state=State.FAILED))

    assert [one.category for one in page.messages] == ["otp"]


async def test_failed_migration_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteStore(path, owner="n1"):
        pass
    broken = (NEWEST + 1, "CREATE TABLE later (x INTEGER) STRICT; CREATE TABLE message (y TEXT)")
    steps = [*queries.migrations("sqlite"), broken]
    monkeypatch.setattr(queries, "migrations", lambda engine: steps)

    with pytest.raises(apsw.SQLError):
        await SqliteStore(path, owner="n2").__aenter__()

    monkeypatch.undo()
    assert version(path) == NEWEST
    async with SqliteStore(path, owner="n3") as store:
        await store.check()


async def test_file_that_is_no_database_is_refused(path: Path) -> None:
    fill_with_prose(path)

    with pytest.raises(StoreMismatch, match="cannot be opened"):
        await SqliteStore(path, owner="n1").__aenter__()


async def test_second_gateway_on_the_file_is_refused(path: Path) -> None:
    async with SqliteStore(path, owner="n1"):
        with pytest.raises(StoreMismatch, match="PostgreSQL"):
            await SqliteStore(path, owner="n2").__aenter__()

    async with SqliteStore(path, owner="n3"):
        pass


async def test_gateway_of_another_process_holds_the_file(path: Path) -> None:
    program = (
        "import asyncio, sys, pathlib\n"
        "from gateway.store.sqlite.store import SqliteStore\n"
        "async def main():\n"
        "    async with SqliteStore(pathlib.Path(sys.argv[1]), owner='other'):\n"
        "        print('open', flush=True)\n"
        "        sys.stdin.read()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(  # noqa: ASYNC220 - a line is waited for, not the process
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "open\n"

        with pytest.raises(StoreMismatch, match="another process"):
            await SqliteStore(path, owner="n1").__aenter__()

        other.stdin.close()
    async with SqliteStore(path, owner="n1"):
        pass


async def test_command_line_may_write_beside_the_gateway(path: Path) -> None:
    async with (
        SqliteStore(path, owner="n1") as gateway,
        SqliteStore(path, owner="cli", exclusive=False) as command,
    ):
        ban = Suppression(channel="sms", hash="h", reason=Reason.MANUAL, source="cli", at_ms=1)
        await command.suppress([ban])

        found = await gateway.suppressed([("sms", "h")], now_ms=2)
        assert found == {("sms", "h"): [replace(ban, id=1)]}


async def test_clean_stop_leaves_the_database_alone(path: Path, make: Any) -> None:
    async with SqliteStore(path, owner="n1") as store:
        await store.accept(make.messages(3))
        await asyncio.gather(*(store.keys() for _ in range(4)))

    assert [one.name for one in path.parent.iterdir()] == ["gateway.db"]


async def test_command_line_leaves_what_the_gateway_needs(path: Path) -> None:
    async with SqliteStore(path, owner="n1"):
        async with SqliteStore(path, owner="cli", exclusive=False) as command:
            await command.keys()

        with pytest.raises(StoreMismatch, match="another process"):
            await SqliteStore(path, owner="n2").__aenter__()


async def test_lock_that_its_holder_removes_meanwhile_is_taken_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it, the gateway before ends."""
    path.parent.mkdir()
    held = path.with_name("gateway.db-lock")
    removed: list[Path] = []

    def remove_first(file: Any, how: int, flock: Any = fcntl.flock) -> None:
        if not removed:
            held.unlink()
            removed.append(held)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    async with SqliteStore(path, owner="n1"):
        with pytest.raises(StoreMismatch, match="another process"):
            await SqliteStore(path, owner="n2").__aenter__()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
async def test_files_are_for_their_owner_alone(path: Path, make: Any, umask: int) -> None:
    before = os.umask(umask)
    try:
        async with SqliteStore(path, owner="n1") as store:
            await store.accept([make.message()])
            modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
            folder = stat.S_IMODE(path.parent.stat().st_mode)
    finally:
        os.umask(before)

    assert folder == 0o700
    assert modes.keys() >= {"gateway.db", "gateway.db-wal", "gateway.db-shm"}
    assert set(modes.values()) == {0o600}


async def test_folder_that_is_there_keeps_its_mode(path: Path) -> None:
    path.parent.mkdir(0o755)

    async with SqliteStore(path, owner="n1"):
        pass

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


async def test_commits_are_durable_and_bounded(path: Path) -> None:
    async with SqliteStore(path, owner="n1") as store:
        settings = await store._engine.write(
            lambda connection: {
                name: connection.pragma(name)
                for name in ("journal_mode", "synchronous", "mmap_size")
            }
        )

    assert settings == {"journal_mode": "wal", "synchronous": 2, "mmap_size": 0}
