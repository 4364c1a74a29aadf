"""Accounts, messages and recorded bytes for tests of providers.

A recording is a text file `<kind>/<name>.http`: the start line of a request or an answer, headers,
an empty line, the body. The last line break is not part of the body.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import base, registry

HERE = Path(__file__).parent
#: 2026-03-01 12:00:00 UTC
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FixedClock:
    """Stands still."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a provider never sleeps")


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def clock() -> Clock:
    return FixedClock(int(NOW.timestamp() * 1000))


@pytest.fixture(scope="session")
def clock_at() -> Callable[[int], Clock]:
    """A clock that stands at so many seconds since the epoch."""
    return lambda seconds: FixedClock(seconds * 1000)


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def rsa_pem(rsa_key: rsa.RSAPrivateKey) -> str:
    return rsa_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture(scope="session")
def service_account(rsa_pem: str) -> str:
    """The text of a service account's key file."""
    key = {
        "type": "service_account",
        "project_id": "example-app",
        "private_key_id": "key-1",
        "private_key": rsa_pem,
        "client_email": "gateway@example-app.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps(key)


@pytest.fixture(scope="session")
def options_of(service_account: str, rsa_pem: str) -> Callable[[str], dict[str, Any]]:
    """Settings of a working account of a kind: its `settings.json`, with keys made on the spot."""

    def read(kind: str) -> dict[str, Any]:
        path = HERE / kind / "settings.json"
        options: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        if options.get("service_account") == "made by the test":
            options["service_account"] = service_account
        if options.get("private_key") == "made by the test":
            options["private_key"] = rsa_pem
        return options

    return read


@pytest.fixture(scope="session")
def make(options_of: Callable[[str], dict[str, Any]], clock: Clock) -> Callable[..., Any]:
    """Builds the account `main` of a kind, with some settings changed."""

    def build(kind: str, changes: Mapping[str, Any] | None = None, **named: Any) -> base.Provider:
        at = named.pop("clock", clock)
        options = {**options_of(kind), **(changes or {}), **named}
        return registry.build("main", kind, options, at)

    return build


@pytest.fixture(scope="session")
def provider_templates() -> dict[str, Any]:
    """What services that send no free text want instead, by kind: its `template.json`."""
    return {path.parent.name: json.loads(path.read_text()) for path in HERE.glob("*/template.json")}


@pytest.fixture(scope="session")
def message(now: datetime, provider_templates: dict[str, Any]) -> Callable[..., wire.Message]:
    """A message that every channel can carry, with some fields changed."""

    def build(**changes: Any) -> wire.Message:
        fields: dict[str, Any] = {
            "id": "0195500a-5c00-7000-8000-000000000001",
            "reference": "0195500a-5c00-7000-8000-000000000001-0-0-0",
            "channel": wire.Channel.SMS,
            "category": "otp",
            "to": wire.Address(
                phone="+15005550009",
                email="li@example.com",
                token="device-token",
                wechat="oia2TjuEGTNoeX76QEjQNrcURxG8",
                wecom="LiLei",
                chat="ops",
                url="https://tenant.example.com/hooks?a=1",
            ),
            "content": wire.Content(
                text="Your code is 4711",
                subject="Code",
                html="<p>4711</p>",
                provider_templates=provider_templates,
            ),
            "expires_at": datetime.fromtimestamp(now.timestamp() + 300, UTC),
        }
        return wire.Message(**{**fields, **changes})

    return build


@pytest.fixture(scope="session")
def many(message: Callable[..., wire.Message]) -> Callable[..., list[wire.Message]]:
    """Messages with equal content, to addresses and with references of their own: `many(3)`."""

    def build(count: int, **content: Any) -> list[wire.Message]:
        return [
            message(
                id=f"m-{number}",
                reference=f"0195500a-5c00-7000-8000-{number:012x}-0-0-0",
                to=wire.Address(email=f"person{number}@example.org"),
                content=wire.Content(**{"text": "Hi", "subject": "S", **content}),
            )
            for number in range(count)
        ]

    return build


@pytest.fixture(scope="session")
def faults_of(make: Callable[..., Any]) -> Callable[..., Sequence[str]]:
    """What is wrong with an account, as `key: why`: `faults_of("ses", {"region": ""})`."""

    def find(kind: str, changes: Mapping[str, Any]) -> Sequence[str]:
        with pytest.raises(errors.SettingsError) as caught:
            make(kind, changes)
        assert all(one.startswith("providers.main.") for one in caught.value.faults)
        return [one.removeprefix("providers.main.") for one in caught.value.faults]

    return find


def _read(name: str) -> tuple[str, dict[str, str], bytes]:
    head, _, body = (HERE / f"{name}.http").read_bytes().partition(b"\n\n")
    start, *lines = head.decode().split("\n")
    pairs = (line.partition(": ") for line in lines)
    return start, {key.lower(): value for key, _, value in pairs}, body.removesuffix(b"\n")


@pytest.fixture(scope="session")
def recorded_request() -> Callable[[str], wire.HttpRequest]:
    """A recording such as `twilio/send`, its URL whole in the start line."""

    def read(name: str) -> wire.HttpRequest:
        start, headers, body = _read(name)
        method, url, _ = start.split(" ")
        return wire.HttpRequest(method=method, url=url, headers=headers, body=body)

    return read


@pytest.fixture(scope="session")
def recorded_answer() -> Callable[[str], wire.HttpResponse]:
    """A recording such as `twilio/answer_created`."""

    def read(name: str) -> wire.HttpResponse:
        start, headers, body = _read(name)
        return wire.HttpResponse(status=int(start.split(" ")[1]), headers=headers, body=body)

    return read
