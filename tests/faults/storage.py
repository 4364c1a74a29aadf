"""A disk that is full, one that fails, and a crash with the n-th fsync.

The full disk is a small file system of its own: mounted here by who may, else inside a user and
mount namespace (`namespaces.py`). What strace does to a process, only long runs do.
"""

import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.faults import namespaces
from tests.faults.kills import was_killed
from tests.faults.run import OwnCase, Runner
from tests.faults.trial import (
    Action,
    Case,
    Form,
    Moment,
    Posted,
    Result,
    Seconds,
    Status,
    Trial,
    wait,
)
from tests.faults.verdict import Verdict

#: Of the disk. The gateway keeps 64 MiB free, and a ballast of 8 MiB.
_DISK_MIB = 120

#: Below the floor, but not full.
_LITTLE = 60 * 2**20


# A full disk


def _full_disk(chance: random.Random, form: Form) -> Sequence[Moment]:
    moments = []
    for _ in range(1 if form is Form.SHORT else 6):
        moments += [
            Moment(Posted(chance.randrange(20, 60)), "almost full", _leave(_LITTLE)),
            Moment(Status(503), "full", _leave(0)),
            Moment(Posted(chance.randrange(10, 30)), "emptied", _empty),
        ]
    return moments


def _leave(size_bytes: int) -> Action:
    async def do(trial: Trial) -> None:
        await asyncio.to_thread(_fill, _disk(trial), size_bytes)

    return do


async def _empty(trial: Trial) -> None:
    for file in _disk(trial).glob("filler*"):
        file.unlink()


def _disk(trial: Trial) -> Path:
    return Path(trial.bench.database.url.removeprefix("sqlite://")).parent


def _fill(folder: Path, leave: int) -> None:
    """Files that leave so many bytes of the disk."""
    disk = os.statvfs(folder)
    size = disk.f_bavail * disk.f_frsize - leave
    with (folder / f"filler{leave}").open("wb") as out:
        while size > 0:
            try:
                os.posix_fallocate(out.fileno(), 0, size)
            except OSError:  # the database took some in the meantime
                size -= disk.f_frsize
            else:
                return


def _survived(trial: Trial, verdict: Verdict) -> Iterable[str]:
    if trial.codes:
        yield f"it ended: {trial.codes}"
    if all(entry.status != 503 for entry in trial.entries):
        yield "nothing was refused"


_FULL = Case(
    name="disk-full",
    what="no room for the database",
    plan=_full_disk,
    struck=_survived,
)


async def _on_a_small_disk(runner: Runner, case: OwnCase) -> Result:
    with tempfile.TemporaryDirectory(prefix="gateway-faults-") as name:
        size = f"size={_DISK_MIB}m"
        if await namespaces.command("mount", "-t", "tmpfs", "-o", size, "tmpfs", name):
            return await namespaces.again(case.name, runner.seed, runner.form, "--mount")
        try:
            async with runner.opened(_FULL, store=Path(name)) as bench:
                return await runner.play(_FULL, bench)
        finally:
            await namespaces.command("umount", "--lazy", name)


# What strace does


def strace(inject: str) -> list[str]:
    """Words to run a gateway under, so that its fsyncs fare as told.

    The tracer is the child of a child: the gateway stays ours. Raises CannotPlay without strace.
    """
    if shutil.which("strace") is None:
        raise namespaces.CannotPlay("strace is missing: apt-get install strace")
    options = ["-f", "-D", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync"]
    return ["strace", *options, "-e", f"inject=fdatasync,fsync:{inject}"]


def _each_fsync(chance: random.Random, form: Form) -> Sequence[Moment]:
    return [
        Moment(Seconds(0.0), f"killed with fsync {number}", _launch_to_die(number))
        for number in range(1, 201)
    ]


def _launch_to_die(number: int) -> Action:
    async def do(trial: Trial) -> None:
        node = trial.bench.nodes[0]
        await trial.bench.launch(node, *strace(f"signal=SIGKILL:when={number}"))
        assert await node.ended() == -signal.SIGKILL, node.last_log[-2000:]

    return do


def _failing_disk(chance: random.Random, form: Form) -> Sequence[Moment]:
    moments = []
    for _ in range(10):
        first = chance.randrange(10, 60)
        # So many that some are a client's: results that cannot be written are only tried again.
        words = strace(f"error=EIO:when={first}..{first + chance.randrange(20, 60)}")
        moments += [
            Moment(Seconds(0.0), f"under {' '.join(words[-2:])}", _launch(words)),
            Moment(Status(503), "EIO", wait),
            Moment(Posted(200), "killed", _kill),
        ]
    return moments


def _launch(words: Sequence[str]) -> Action:
    async def do(trial: Trial) -> None:
        await trial.bench.launch(trial.bench.nodes[0], *words)

    return do


async def _kill(trial: Trial) -> None:
    await trial.bench.kill()


_LONG = frozenset({Form.LONG})

CASES = (
    OwnCase(name="disk-full", what=_FULL.what, run=_on_a_small_disk),
    Case(
        name="fsync-kill",
        what="kill -9 with each of the first 200 fsyncs",
        plan=_each_fsync,
        starts=True,
        forms=_LONG,
        struck=was_killed,
    ),
    Case(
        name="fsync-eio",
        what="EIO on fsync",
        plan=_failing_disk,
        starts=True,
        forms=_LONG,
        struck=was_killed,
    ),
)
