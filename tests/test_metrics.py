"""What is counted together counts as each alone would have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metrics import Metrics


def samples(metrics: Metrics, provider: str) -> dict[tuple[str, str | None], float]:
    return {
        (one.name, one.labels.get("le")): one.value
        for family in metrics.registry.collect()
        for one in family.samples
        if one.labels.get("provider") == provider
    }


@given(st.lists(st.sampled_from((0.0, 0.004, 0.005, 0.0051, 1.0, 29.5, 30.0, 30.5, 1e9))))
def test_times_observed_together_are_those_observed_alone(seconds: list[float]) -> None:
    metrics = Metrics()
    alone, together = map(metrics.attempt_seconds.labels, ("alone", "together"))
    for one in seconds:
        alone.observe(one)
    together.observe_all(seconds)

    assert samples(metrics, "together") == pytest.approx(samples(metrics, "alone"))
    assert len(samples(metrics, "alone")) > 3
