"""A disk that fills up, and is emptied again while the gateway runs."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TEXT = {"text": "Your order is on its way"}
BODY = {"to": {"phone": "+14155550123"}, "content": TEXT, "chain": [{"channel": "sms"}]}
HEADERS = {"Authorization": "Bearer gw_e2e_key_of_shop"}

#: The gateway keeps 64 MiB free, and a ballast of 8 MiB.
_DISK_MIB = 84


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, *, leave: int) -> Path:
    """A file that leaves so many bytes of the disk."""
    file = folder / "filler"
    disk = os.statvfs(folder)
    size = disk.f_bavail * disk.f_frsize - leave
    with file.open("wb") as out:
        while size > 0:
            try:
                os.posix_fallocate(out.fileno(), 0, size)
            except OSError:  # the database took some in the meantime
                size -= disk.f_frsize
            else:
                break
    return file


async def post(gateway: Any) -> tuple[int, str | None]:
    async with gateway.session.post(
        gateway.url + "/v1/messages", json=BODY, headers=HEADERS
    ) as answer:
        await answer.read()
        return answer.status, answer.headers.get("Retry-After")


async def readiness(gateway: Any) -> int:
    async with gateway.session.get(f"{gateway.internal}/readyz") as answer:
        return int(answer.status)


@pytest.mark.parametrize("leave", [60 * 2**20, 0], ids=["below the floor", "full"])
async def test_full_disk_refuses_until_there_is_room_again(
    stand: Any, eventually: Any, disk: Path, leave: int
) -> None:
    stand.database.path = disk / "gateway.db"
    stand.acme.knobs.latency = 0.5
    gateway = await stand.start({"store": {"url": f"sqlite://{stand.database.path}"}})
    under_way = [await gateway.send(**BODY) for _ in range(5)]
    await eventually(lambda: stand.acme.log.total >= 1)
    before = stand.database.one("SELECT count(*) FROM message WHERE internal = 0")

    filler = fill(disk, leave=leave)
    refusals = await asyncio.gather(*(post(gateway) for _ in range(5)))
    stored = stand.database.one("SELECT count(*) FROM message WHERE internal = 0")

    async def is_ready() -> bool:
        return await readiness(gateway) == 200

    async def is_not_ready() -> bool:
        return await readiness(gateway) == 503

    await eventually(is_not_ready)
    filler.unlink()
    await eventually(is_ready)
    accepted = [await gateway.send(**BODY) for _ in range(3)]
    for id in (*under_way, *accepted):
        await gateway.until(id, "delivered")

    assert refusals == [(503, "1")] * 5
    assert stored == before
    assert set(stand.acme.log.copies().values()) == {1}
    assert stand.database.one("PRAGMA integrity_check") == "ok"
    await gateway.stop()
