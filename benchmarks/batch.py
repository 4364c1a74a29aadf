"""`batch`: messages a second by a provider whose calls carry a hundred, against one whose calls
carry one, in turn in the same run.

The provider is Aliyun's API; once it answers at once, so that our own cost decides, and once after
a time as a carrier takes it, so that the calls under way decide.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks import load
from benchmarks.processes import Cores, apart, on, started, usage
from benchmarks.report import Chart, Result, rounds, spread
from benchmarks.variant import USUAL, Variant

_LANE = '[lanes.sms]\nchannel = "sms"\nproviders = ["{provider}"]\n'

#: What Aliyun says of a batch that it has taken.
_TAKEN = '{"Code":"OK","Message":"OK","BizId":"900619746936498440^0","RequestId":"F655A8D5"}'


class _Lap(NamedTuple):
    #: messages a second
    rate: float
    cpu_us: float


#: Seconds to an answer of a carrier.
_LATENCY = 0.05


async def run(scale: float, progress: load.Progress, variant: Variant = USUAL) -> Result:
    count = max(200, int(20_000 * scale))
    single: list[_Lap] = []
    batched: list[_Lap] = []
    far_single: list[_Lap] = []
    far_batched: list[_Lap] = []
    with apart(variant.processes) as cores:
        for number in range(rounds(scale)):
            async with started("-m", "benchmarks.sink") as url:
                config = load.provider(url) + _LANE.format(provider="acme")
                single.append(await _lap(variant, config, load.message, count, cores))
            sink = ("-m", "benchmarks.sink", "--body", _TAKEN)
            async with started(*sink) as url:
                batched.append(await _lap(variant, _aliyun(url), _message, count, cores))
            async with started(*sink, "--latency", str(_LATENCY)) as url:
                far_single.append(await _lap(variant, _aliyun(url), _alone, count // 4, cores))
                far_batched.append(await _lap(variant, _aliyun(url), _message, count, cores))
            progress(number + 1, rounds(scale))
    ratios = [many.rate / one.rate for many, one in zip(batched, single, strict=True)]
    far = [many.rate / one.rate for many, one in zip(far_batched, far_single, strict=True)]
    return Result(
        name="batch",
        goal="100 messages a call carry at least 5 times as much as one a call, near and far",
        reached=min(statistics.median(ratios), statistics.median(far)) >= 5.0,
        figures={
            "ratio": spread(ratios),
            f"ratio, answers after {_LATENCY * 1000:.0f} ms": spread(far),
            "messages/s, 100 a call": spread([one.rate for one in batched]),
            "messages/s, one a call": spread([one.rate for one in single]),
            "messages/s, 100 a call, far": spread([one.rate for one in far_batched]),
            "messages/s, one a call, far": spread([one.rate for one in far_single]),
            "CPU µs/message, 100 a call": spread([one.cpu_us for one in batched]),
            "CPU µs/message, one a call": spread([one.cpu_us for one in single]),
        },
        charts=[
            Chart(
                title="batch: messages a second" + on(cores),
                bars={
                    "100 a call": [one.rate for one in batched],
                    "one a call": [one.rate for one in single],
                },
            )
        ],
    )


def _aliyun(url: str) -> str:
    return (
        '[providers.aliyun]\nkind = "aliyun"\naccess_key_id = "bench"\n'
        f'access_key_secret = "bench"\nsign = "Bench"\nbase_url = "{url}"\n'
    ) + _LANE.format(provider="aliyun")


def _message(number: int, category: str = "service") -> Mapping[str, object]:
    """The same by a template of the provider's, with a parameter of its own."""
    own = {"template": "SMS_1", "params": {"code": str(number)}}
    return {
        **load.message(number, category),
        "content": {"text": load.TEXT, "aliyun": own},
    }


def _alone(number: int, category: str = "service") -> Mapping[str, object]:
    """One that shares its call with none: its template is its own."""
    own = {"template": f"SMS_{number}", "params": {"code": str(number)}}
    return {**load.message(number, category), "content": {"text": load.TEXT, "aliyun": own}}


async def _lap(variant: Variant, config: str, make: load.Make, count: int, cores: Cores) -> _Lap:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            variant.gateway(Path(folder), load.TENANT + config, cores=cores) as running,
            load.session() as client,
        ):
            warm = max(100, count // 20)
            await load.post(client, running, warm, make=make)
            await load.until_sent(client, running, warm)
            before, begun = usage(running.pid), time.perf_counter()
            await load.post(client, running, count, first=warm, make=make)
            ended = await load.until_sent(client, running, warm + count)
            after = usage(running.pid)
    return _Lap(
        rate=count / (ended - begun),
        cpu_us=(after.cpu_seconds - before.cpu_seconds) / count * 1e6,
    )
