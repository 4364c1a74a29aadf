"""A link that goes down under open connections: nothing comes back, not even a refusal.

The gateway runs in a network namespace of its own. Two virtual cables lead there: one to the
providers, which is cut, and one for callers, receipts and metrics (veth(4), network_namespaces(7)).
"""

import asyncio
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from tests.faults import namespaces
from tests.faults.bench import Hosts, eventually
from tests.faults.nodes import Node
from tests.faults.run import OwnCase, Runner
from tests.faults.trial import Case, Form, Moment, Posted, Result, Seconds, Trial
from tests.faults.verdict import Verdict

#: Addresses for documentation (RFC 5737): nobody else's, should one ever leave.
_OUTER, _INNER = "192.0.2.1", "192.0.2.2"
_CALLERS, _GATEWAY = "198.51.100.1", "198.51.100.2"


#: What cannot be reached from there is not used.
_CHANGES: Mapping[str, Any] = {
    "webhooks": {"allow_private": [f"{_CALLERS}/32"]},
    "lanes": {"sms": {"providers": ["acme"]}, "metered": None},
    "providers": {"backup": None, "metered": None},
}
_MIX = {"pool": 4, "solo": 4, "mail": 4, "once": 2, "steps": 2}


async def _links(stack: AsyncExitStack) -> int:
    """Both cables; the process whose network the gateway is to share."""
    holder = await asyncio.create_subprocess_exec("unshare", "--net", "sleep", "infinity")
    stack.callback(holder.kill)
    own = os.readlink("/proc/self/ns/net")

    async def is_apart() -> bool:
        return os.readlink(f"/proc/{holder.pid}/ns/net") != own

    await eventually(is_apart)
    there = f"nsenter --net=/proc/{holder.pid}/ns/net "
    for command in (
        "ip link set lo up",
        f"ip link add cut0 type veth peer name cut1 netns {holder.pid}",
        f"ip link add keep0 type veth peer name keep1 netns {holder.pid}",
        f"ip address add {_OUTER}/24 dev cut0",
        f"ip address add {_CALLERS}/24 dev keep0",
        "ip link set cut0 up",
        "ip link set keep0 up",
        f"{there}ip link set lo up",
        f"{there}ip address add {_INNER}/24 dev cut1",
        f"{there}ip address add {_GATEWAY}/24 dev keep1",
        f"{there}ip link set cut1 up",
        f"{there}ip link set keep1 up",
    ):
        error = await namespaces.command(*command.split())
        if error:
            raise namespaces.CannotPlay(f"{command}: {error}")
    return holder.pid


class _FarNode(Node):
    """Lives at the other end of the cables."""

    host = _GATEWAY
    #: the process whose network it shares
    holder = 0

    async def launch(self, tables: Mapping[str, Any], *, under: Sequence[str] = ()) -> None:
        there = ["nsenter", f"--net=/proc/{self.holder}/ns/net"]
        await super().launch(tables, under=[*there, *under])


def _plan(chance: random.Random, form: Form) -> Sequence[Moment]:
    moments = []
    for _ in range(6):
        moments += [
            Moment(Posted(chance.randrange(20, 60)), "link down", _down),
            Moment(Posted(40), "ends are closed in silence", _forget),
            Moment(Seconds(chance.uniform(0.5, 5.0)), "link up", _up),
        ]
    return moments


async def _down(trial: Trial) -> None:
    assert not await namespaces.command("ip", "link", "set", "cut0", "down")


async def _up(trial: Trial) -> None:
    assert not await namespaces.command("ip", "link", "set", "cut0", "up")


async def _forget(trial: Trial) -> None:
    """The providers give the connections up, and the gateway does not hear of it."""
    trial.bench.acme_wire.heal()
    trial.bench.relay_wire.heal()


def _survived(trial: Trial, verdict: Verdict) -> Iterable[str]:
    if trial.codes:
        yield f"it ended: {trial.codes}"
    if not verdict.codes["acme", "unknown", "timeout"]:
        yield f"nobody waited in vain: {verdict.codes}"


async def _run(runner: Runner, case: OwnCase) -> Result:
    if namespaces.INSIDE not in os.environ:
        return await namespaces.again(case.name, runner.seed, runner.form, "--mount", "--net")
    async with AsyncExitStack() as stack:
        _FarNode.holder = await _links(stack)
        bench = await stack.enter_async_context(runner.opened(_PLAYED))
        return await runner.play(_PLAYED, bench)


_PLAYED = Case(
    name="half-open",
    what="the link to the providers goes down",
    plan=_plan,
    struck=_survived,
    node=_FarNode,
    changes=_CHANGES,
    mix=_MIX,
    hosts=Hosts(_OUTER, _CALLERS),
)

CASES = (OwnCase(name=_PLAYED.name, what=_PLAYED.what, run=_run, forms=frozenset({Form.LONG})),)
