"""A disk that fills up: new messages are refused, nothing is lost, and room ends the trouble."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.model.errors import StoreUnavailable
from gateway.store.sqlite import writer
from gateway.store.sqlite.store import SqliteStore

#: Enough for a new file, its log and the ballast; no more.
_DISK_MB = 24


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small one of its own. Needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a tmpfs")
    monkeypatch.setattr(writer, "_FREE_SPACE_FLOOR", 4 * 2**20)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, *, leave: int) -> Path:
    """A file that leaves so many bytes free."""
    disk = os.statvfs(folder)
    size = disk.f_bavail * disk.f_frsize - leave
    file = folder / "filler"
    file.write_bytes(bytes(max(0, size)))
    return file


async def test_messages_are_refused_before_the_disk_is_full(disk: Path, make: Any) -> None:
    async with SqliteStore(disk / "gateway.db", owner="n1") as store:
        kept = make.message()
        await store.accept([kept])
        filler = fill(disk, leave=3 * 2**20)

        with pytest.raises(StoreUnavailable, match="almost full"):
            await store.accept([make.message()])
        with pytest.raises(StoreUnavailable):
            await store.check()
        (row,) = await store.claim(make.request())
        assert await store.commit([make.result(row)]) == [None]

        filler.unlink()
        await store.check()
        assert len(await store.accept([make.message()])) == 1


async def test_results_are_written_once_the_ballast_is_dropped(disk: Path, make: Any) -> None:
    async with SqliteStore(disk / "gateway.db", owner="n1") as store:
        await store.accept(make.messages(50))
        rows = await store.claim(make.request())
        ballast = disk / "gateway.db-ballast"
        assert ballast.exists()
        fill(disk, leave=0)
        results = [make.result(row) for row in rows]

        refused = 0
        while refused < 10:
            try:
                verdicts = await store.commit(results)
                break
            except StoreUnavailable:
                refused += 1

        assert verdicts == [None] * 50
        assert refused <= 2
        assert not ballast.exists()


async def test_nothing_of_a_refused_batch_is_stored(disk: Path, make: Any) -> None:
    async with SqliteStore(disk / "gateway.db", owner="n1") as store:
        before = await store.depths()
        fill(disk, leave=5 * 2**20)
        large = make.messages(3000, metadata={"filler": "x" * 3000})

        with pytest.raises(StoreUnavailable):
            await store.accept(large)

        assert await store.depths() == before
        found = await store._engine.write(lambda connection: connection.pragma("integrity_check"))
        assert found == "ok"


async def test_disk_with_room_gets_its_ballast(disk: Path) -> None:
    for owner in ("n1", "n2"):
        async with SqliteStore(disk / "gateway.db", owner=owner):
            assert (disk / "gateway.db-ballast").stat().st_size == 8 * 2**20


async def test_crowded_disk_is_not_made_fuller(disk: Path) -> None:
    fill(disk, leave=3 * 2**20)

    async with SqliteStore(disk / "gateway.db", owner="n1"):
        assert not (disk / "gateway.db-ballast").exists()
