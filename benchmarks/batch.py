"""`batch`: messages a second by a provider whose calls carry a hundred, against one whose calls
carry one, in turn in the same run.

The providers are Aliyun's API and Tencent's; once they answer at once, so that our own cost
decides, and once after a time as a carrier takes it, so that the calls under way decide.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import load
from benchmarks.processes import Cores, apart, on, started, usage
from benchmarks.report import Chart, Result, rounds, spread
from benchmarks.variant import USUAL, Variant

_LANE = '[lanes.sms]\nchannel = "sms"\nproviders = ["{provider}"]\n'

#: What Aliyun says of a batch that it has taken.
_TAKEN = '{"Code":"OK","Message":"OK","BizId":"900619746936498440^0","RequestId":"F655A8D5"}'


#: What Tencent says of each number, and around that.
_EACH = (
    '{"SerialNo":"5000:{number}","PhoneNumber":"{number}","Fee":1,"SessionContext":"",'
    '"Code":"Ok","Message":"send success","IsoCode":"CN"}'
)
_TAKEN_EACH = '{"Response":{"SendStatusSet":[{each}],"RequestId":"a0aabda6"}}'


class _Lap(NamedTuple):
    #: messages a second
    rate: float
    cpu_us: float


#: Seconds to an answer of a carrier.
_LATENCY = 0.05


class _Service(NamedTuple):
    """One whose calls carry many."""

    name: str
    #: of the account
    keys: str
    #: arguments of the sink, which answers as the service does
    answers: tuple[str, ...]
    #: of messages that may share calls, and of those that may not
    together: load.Make
    alone: load.Make


class _Laps(NamedTuple):
    """Of one service, a lap for each round."""

    batched: list[_Lap]
    far_single: list[_Lap]
    far_batched: list[_Lap]


async def run(scale: float, progress: load.Progress, variant: Variant = USUAL) -> Result:
    count = max(200, int(20_000 * scale))
    single: list[_Lap] = []
    laps = {service: _Laps([], [], []) for service in _SERVICES}
    with apart(variant.processes) as cores:
        for number in range(rounds(scale)):
            async with started("-m", "benchmarks.sink") as url:
                config = load.provider(url) + _LANE.format(provider="acme")
                single.append(await _lap(variant, config, load.message, count, cores))
            for service, its in laps.items():
                await _round(variant, service, its, count, cores)
            progress(number + 1, rounds(scale))
    figures: dict[str, str] = {}
    ratios: list[float] = []
    for service, its in laps.items():
        near = [many.rate / one.rate for many, one in zip(its.batched, single, strict=True)]
        far = [
            many.rate / one.rate for many, one in zip(its.far_batched, its.far_single, strict=True)
        ]
        ratios += [statistics.median(near), statistics.median(far)]
        figures |= _figures(service.name, its, near, far)
    figures["messages/s, one a call"] = spread([one.rate for one in single])
    figures["CPU µs/message, one a call"] = spread([one.cpu_us for one in single])
    many_a_call = {f"{one.name}, 100 a call": its.batched for one, its in laps.items()}
    return Result(
        name="batch",
        goal="100 messages a call carry at least 5 times as much as one a call, near and far",
        reached=min(ratios) >= 5.0,
        figures=figures,
        charts=[
            Chart(
                title="batch: messages a second" + on(cores),
                bars={
                    name: [one.rate for one in rates]
                    for name, rates in [*many_a_call.items(), ("one a call", single)]
                },
            )
        ],
    )


async def _round(
    variant: Variant, service: _Service, laps: _Laps, count: int, cores: Cores
) -> None:
    sink = ("-m", "benchmarks.sink", *service.answers)
    async with started(*sink) as url:
        laps.batched.append(
            await _lap(variant, _config(service, url), service.together, count, cores)
        )
    async with started(*sink, "--latency", str(_LATENCY)) as url:
        config = _config(service, url)
        laps.far_single.append(await _lap(variant, config, service.alone, count // 4, cores))
        laps.far_batched.append(await _lap(variant, config, service.together, count, cores))


def _figures(
    name: str, laps: _Laps, near: Sequence[float], far: Sequence[float]
) -> Mapping[str, str]:
    return {
        f"{name}: ratio": spread(near),
        f"{name}: ratio, answers after {_LATENCY * 1000:.0f} ms": spread(far),
        f"{name}: messages/s, 100 a call": spread([one.rate for one in laps.batched]),
        f"{name}: messages/s, 100 a call, far": spread([one.rate for one in laps.far_batched]),
        f"{name}: messages/s, one a call, far": spread([one.rate for one in laps.far_single]),
        f"{name}: CPU µs/message, 100 a call": spread([one.cpu_us for one in laps.batched]),
    }


def _config(service: _Service, url: str) -> str:
    table = f'[providers.{service.name}]\nkind = "{service.name}"\nbase_url = "{url}"\n'
    return table + service.keys + _LANE.format(provider=service.name)


def _sent(number: int, category: str, **own: object) -> Mapping[str, object]:
    """The same by templates of the providers' own."""
    return {**load.message(number, category), "content": {"text": load.TEXT, **own}}


def _aliyun(number: int, category: str = "service") -> Mapping[str, object]:
    """Calls carry a parameter for each."""
    own = {"template": "SMS_1", "params": {"code": str(number)}}
    return _sent(number, category, aliyun=own)


def _aliyun_alone(number: int, category: str = "service") -> Mapping[str, object]:
    own = {"template": f"SMS_{number}", "params": {"code": str(number)}}
    return _sent(number, category, aliyun=own)


def _tencent(number: int, category: str = "service") -> Mapping[str, object]:
    """Calls carry one text for all."""
    return _sent(number, category, tencent={"template": "1", "params": {"1": "4711"}})


def _tencent_alone(number: int, category: str = "service") -> Mapping[str, object]:
    return _sent(number, category, tencent={"template": "1", "params": {"1": str(number)}})


_SERVICES = (
    _Service(
        name="aliyun",
        keys='access_key_id = "bench"\naccess_key_secret = "bench"\nsign = "Bench"\n',
        answers=("--body", _TAKEN),
        together=_aliyun,
        alone=_aliyun_alone,
    ),
    _Service(
        name="tencent",
        keys='secret_id = "bench"\nsecret_key = "bench"\napp_id = "14"\nsign = "Bench"\n',
        answers=("--body", _TAKEN_EACH, "--each", _EACH),
        together=_tencent,
        alone=_tencent_alone,
    ),
)


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
