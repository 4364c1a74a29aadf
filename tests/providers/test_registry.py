"""Kinds are found by name, and settings are refused with every fault."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import registry, twilio

OPTIONS = {"account_sid": "AC1", "auth_token": "t", "from": "+15005550006"}


def faults_of(account: str, kind: str, options: Mapping[str, Any], clock: Clock) -> list[str]:
    with pytest.raises(errors.SettingsError) as caught:
        registry.build(account, kind, options, clock)
    return list(caught.value.faults)


def test_kinds_are_the_provider_modules() -> None:
    kinds = registry.kinds()

    assert {"fcm", "http", "twilio", "webhook"} <= set(kinds)
    assert not {"auth", "base", "registry", "templates"} & set(kinds)
    assert kinds == sorted(kinds)


def test_account_is_built_from_its_options(clock: Clock) -> None:
    provider = registry.build("acme", "twilio", OPTIONS, clock)

    assert isinstance(provider, twilio.Provider)
    assert (provider.account, provider.name) == ("acme", "twilio")


@pytest.mark.parametrize(
    "kind", ["base", "registry", "auth", "os", "..model", "", "Twilio", "twilio\n", "twilio.x"]
)
def test_what_is_no_kind_is_not_loaded(kind: str) -> None:
    assert not registry.known(kind)
    with pytest.raises(errors.SettingsError):
        registry.load(kind)


def test_misspelt_kind_is_recognised(clock: Clock) -> None:
    [fault] = faults_of("acme", "twillio", OPTIONS, clock)

    assert fault == 'providers.acme.kind: no such kind; did you mean "twilio"?'


def test_every_fault_is_listed_and_no_value_repeated(clock: Clock) -> None:
    options = {"acount_sid": "AC-secret", "auth_token": 5150, "from": ["+1secret"], "speed": "x"}

    faults = faults_of("acme", "twilio", options, clock)

    assert [fault.partition("; there are")[0] for fault in faults] == [
        'providers.acme.acount_sid: unknown key; did you mean "account_sid"?',
        "providers.acme.speed: unknown key",
        "providers.acme.account_sid: missing",
        "providers.acme.auth_token: not a string",
        "providers.acme.from: not a string",
    ]
    assert not any("secret" in fault or "5150" in fault for fault in faults)


def test_faults_that_the_kind_finds_come_with_the_unknown_keys(clock: Clock) -> None:
    options = {"account_sid": "", "auth_token": "t", "form": "+15005550006"}

    assert faults_of("acme", "twilio", options, clock) == [
        'providers.acme.form: unknown key; did you mean "from"?',
        "providers.acme.account_sid: is empty",
        "providers.acme.from: missing, unless messaging_service_sid is set",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    text: str = ""
    whole: int = 0
    real: float = 0.0
    flag: bool = False
    words: tuple[str, ...] = ()
    table: Mapping[str, int] = field(default_factory=dict)
    event: wire.ReceiptEvent | None = None
    mode: Literal["none", "tls"] = "none"
    inner: Inner | None = None
    anything: Any = None


@pytest.mark.parametrize(
    ("key", "given", "read"),
    [
        ("text", "x", "x"),
        ("whole", 5, 5),
        ("real", 5, 5.0),
        ("real", 0.5, 0.5),
        ("flag", True, True),
        ("words", ["a", "b"], ("a", "b")),
        ("table", {"a": 1}, {"a": 1}),
        ("event", "read", wire.ReceiptEvent.READ),
        ("mode", "tls", "tls"),
        ("inner", {"number": 1}, Inner(number=1)),
        ("anything", {"a": [1, "b"]}, {"a": [1, "b"]}),
    ],
)
def test_values_of_every_type(key: str, given: object, read: object) -> None:
    reader = registry.Reader()

    made = reader.read_table("", Sample, {key: given})

    assert not reader.faults
    assert getattr(made, key) == read
    assert type(getattr(made, key)) is type(read)


@pytest.mark.parametrize(
    ("key", "given", "fault"),
    [
        ("text", 5, "text: not a string"),
        ("whole", 5.0, "whole: not a whole number"),
        ("whole", True, "whole: not a whole number"),
        ("real", True, "real: not a number"),
        ("real", "5", "real: not a number"),
        ("flag", 1, "flag: not true or false"),
        ("words", "ab", "words: not a list"),
        ("words", ["a", 1], "words[1]: not a string"),
        ("table", [], "table: not a table"),
        ("table", {"a": "1"}, "table.a: not a whole number"),
        ("event", 7, "event: not one of accepted, sent, delivered"),
        ("mode", "ssl", "mode: not one of none, tls"),
        ("inner", {}, "inner.number: missing"),
        ("inner", 1, "inner: not a table"),
    ],
)
def test_values_of_a_wrong_type(key: str, given: object, fault: str) -> None:
    reader = registry.Reader()

    reader.read_table("", Sample, {key: given})

    [found] = reader.faults
    assert found.startswith(fault)
