"""Runs a case once more inside namespaces of its own, where everybody may mount and set up links
(unshare(1), user_namespaces(7)).
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.faults.trial import Form, Result

#: Set for who runs inside.
INSIDE = "FAULTS_INSIDE"

_UNSHARE = ("unshare", "--user", "--map-root-user")


class CannotPlay(Exception):
    """This machine does not let us set the case up; the text says why."""


async def again(name: str, seed: int, form: Form, *apart: str) -> Result:
    """The result of a process that plays the case of this name inside. Raises CannotPlay.

    apart: what it has for itself, as options of unshare: `--mount`, `--net`.
    """
    if INSIDE in os.environ:
        raise CannotPlay(f"{name}: no rights inside a namespace either")
    short = ["--short"] if form is Form.SHORT else []
    words = ["-m", "tests.faults", "--json", "--only", name, "--seed", str(seed), *short]
    process = await asyncio.create_subprocess_exec(
        *_UNSHARE,
        *apart,
        sys.executable,
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, INSIDE: "1"},
    )
    out, errors = await process.communicate()
    try:
        (found,) = json.loads(out)
    except ValueError:
        raise CannotPlay(f"{name}: {errors.decode()[-500:]}") from None
    return Result.from_json(found)


async def command(*words: str) -> str:
    """Run a command; what it says if it fails, else nothing."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return (out.decode().strip() or f"code {process.returncode}") if process.returncode else ""
