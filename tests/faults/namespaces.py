"""Runs a case once more inside namespaces of its own, where everybody may mount and set up links
(unshare(1), user_namespaces(7)).
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.faults.trial import Form, OwnCase, Result

#: Set for who runs inside.
INSIDE = "FAULTS_INSIDE"

_UNSHARE = ("unshare", "--user", "--map-root-user")


async def again(case: OwnCase, seed: int, form: Form, *apart: str) -> Result:
    """The result of a process that plays the case inside. AssertionError when it cannot.

    apart: what it has for itself, as options of unshare: `--mount`, `--net`.
    """
    assert INSIDE not in os.environ, f"{case.name}: no rights inside a namespace either"
    short = ["--short"] if form is Form.SHORT else []
    words = ["-m", "tests.faults", "--json", "--only", case.name, "--seed", str(seed), *short]
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
        raise AssertionError(f"{case.name} cannot run: {errors.decode()[-500:]}") from None
    return Result.from_json(found)


async def command(*words: str) -> str:
    """Run a command; what it says if it fails, else nothing."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return (out.decode().strip() or f"code {process.returncode}") if process.returncode else ""
