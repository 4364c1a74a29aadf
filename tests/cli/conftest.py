"""Running the command line, in this process and in others."""

import base64
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.nursery import Nursery

#: Seconds for a process to do what it should in a moment, on a machine that is busy.
PATIENCE = 120

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _environ(extra: dict[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return kept | {"NO_COLOR": "1"} | (extra or {})


@pytest.fixture(scope="session")
def gateway(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`gateway` with arguments, as a process; `env` adds to its environment."""
    folder = tmp_path_factory.mktemp("commands")
    count = itertools.count()

    def run(
        *arguments: str | Path, env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        number = next(count)
        out, err = folder / f"{number}.out", folder / f"{number}.err"
        words = list(map(str, arguments))
        child = nursery.bear(words, out=out, err=err, environ=_environ(env))
        code = child.end.result(PATIENCE)
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())

    return run


@pytest.fixture(scope="session")
def example_environ() -> dict[str, str]:
    """What the example file takes from the environment."""
    secret = "whsec_" + base64.b64encode(b"s" * 32).decode()
    names = (
        "BILLING_API_KEY",
        "ALIYUN_KEY_ID",
        "ALIYUN_KEY_SECRET",
        "TENCENT_SECRET_ID",
        "TENCENT_SECRET_KEY",
        "SMTP_BULK_PASSWORD",
        "TWILIO_TOKEN",
        "SMTP_PASSWORD",
        "ACME_TOKEN",
        "ACME_HOOK_SECRET",
    )
    return {name: f"value-of-{name.lower()}" for name in names} | {
        "BILLING_WEBHOOK_SECRET": secret,
        "TWILIO_SID": "AC" + "0" * 32,
    }


@pytest.fixture(scope="session")
def service_account() -> str:
    """A key file as Google's console gives it, with a key made on the spot."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "example",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "gateway@example.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
    )


@pytest.fixture
def example(tmp_path: Path, service_account: str) -> Path:
    """The example file, its `file:` references pointing to files that exist."""
    (tmp_path / "fcm.json").write_text(service_account)
    source = Path(__file__).parent.parent / "settings" / "gateway.example.toml"
    text = source.read_text(encoding="utf-8").replace("file:/run/secrets", f"file:{tmp_path}")
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return file


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A gateway that runs without a configuration."""

    process: "subprocess.Popen[str]"
    welcome: str
    url: str
    config: Path


def _serve(folder: Path) -> "tuple[subprocess.Popen[str], str]":
    """A gateway in sandbox mode, and what it says of itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--until-eof", "--keep", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=_environ(),
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "gateway send" in line:
            break
    return process, "".join(lines)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """`gateway serve` in sandbox mode, until the tests of the module are done."""
    folder = tmp_path_factory.mktemp("sandbox")
    process, welcome = _serve(folder)
    with process:
        found = re.search(r"API +(http://\S+)/v1/messages", welcome)
        assert found is not None, welcome
        assert process.stdin is not None
        yield Sandbox(
            process=process, welcome=welcome, url=found[1], config=folder / "gateway.toml"
        )
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
