"""A configuration file on disk, with the secrets that it refers to."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

WriteFile = Callable[[str], Path]


@pytest.fixture
def environ() -> dict[str, str]:
    """What the example file takes from the environment."""
    names = [
        "BILLING_API_KEY",
        "ALIYUN_KEY_ID",
        "ALIYUN_KEY_SECRET",
        "TENCENT_SECRET_ID",
        "TENCENT_SECRET_KEY",
        "SMTP_BULK_PASSWORD",
        "TWILIO_SID",
        "TWILIO_TOKEN",
        "SMTP_PASSWORD",
        "ACME_TOKEN",
        "ACME_HOOK_SECRET",
    ]
    secret = "whsec_" + base64.b64encode(b"s" * 32).decode()
    return {name: f"value-of-{name.lower()}" for name in names} | {"BILLING_WEBHOOK_SECRET": secret}


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """Writes a configuration file and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def example(tmp_path: Path, write_file: WriteFile) -> Path:
    """The example file, its `file:` references pointing to files that exist."""
    (tmp_path / "fcm.json").write_text('{"private_key": "value-of-fcm-key"}\n')
    text = (Path(__file__).parent / "gateway.example.toml").read_text(encoding="utf-8")
    return write_file(text.replace("file:/run/secrets", f"file:{tmp_path}"))
