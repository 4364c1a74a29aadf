"""All faults, by name."""

from collections.abc import Mapping

from tests.faults import clocks, halfopen, kills, postgres, pressure, providers, silence, storage
from tests.faults.run import AnyCase

CASES: Mapping[str, AnyCase] = {
    case.name: case
    for case in (
        *kills.CASES,
        *providers.CASES,
        *pressure.CASES,
        *storage.CASES,
        *clocks.CASES,
        *halfopen.CASES,
        *silence.CASES,
        *postgres.CASES,
    )
}
