"""Sealed tokens: only who has the account's settings can open them."""

import pytest

from gateway.providers.seal import Seal

OPTIONS = {"app_id": "wx1", "secret": "s3cret", "ports": [1, 2]}


def test_what_was_sealed_opens_again() -> None:
    assert Seal("a", OPTIONS).open(Seal("a", dict(reversed(OPTIONS.items()))).close("字")) == "字"


def test_the_same_token_is_sealed_differently_each_time() -> None:
    seal = Seal("a", OPTIONS)

    assert seal.close("t") != seal.close("t")


@pytest.mark.parametrize(
    "other", [Seal("b", OPTIONS), Seal("a", {**OPTIONS, "secret": "x"}), Seal("a", {})]
)
def test_another_account_and_other_settings_open_nothing(other: Seal) -> None:
    assert other.open(Seal("a", OPTIONS).close("t")) == ""


@pytest.mark.parametrize("text", ["", "x", "字", "AAAA", "A" * 400])
def test_nonsense_opens_nothing(text: str) -> None:
    assert Seal("a", OPTIONS).open(text) == ""
