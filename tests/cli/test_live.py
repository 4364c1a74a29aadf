"""`gateway check --live`: one real message, what came of it in words, and nothing else."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from typer.testing import CliRunner, Result

from gateway import settings
from gateway.app.probe import probe
from gateway.cli import exits, live
from gateway.cli.main import app
from gateway.model import wire
from gateway.sandbox.smpp import SmppSimulator

CONFIG = """
[store]
url = "sqlite:gateway.db"
[lanes.sms]
channel = "sms"
providers = ["twilio", "cn"]
[lanes.email]
channel = "email"
providers = ["relay"]
[providers.twilio]
kind = "twilio"
account_sid = "AC1"
auth_token = "not-to-be-shown"
from = "+15005550006"
base_url = "{base_url}"
[providers.cn]
kind = "aliyun"
access_key_id = "id"
access_key_secret = "not-to-be-shown"
sign = "Example"
base_url = "{base_url}"
[providers.relay]
kind = "smtp"
host = "127.0.0.1"
port = 1
security = "none"
from = "no-reply@example.com"
[templates.code]
category = "service"
sms = {{ text = "{{{{ code }}}} is your code" }}
aliyun = {{ template = "SMS_1", params = ["code"] }}
"""


@contextmanager
def service(status: int, body: str) -> Iterator[tuple[str, list[str]]]:
    """(address, bodies of what it got): a service that always answers this."""
    bodies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            bodies.append(self.path + "\n" + self.rfile.read(length).decode())
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def check(folder: Path, *arguments: str, base_url: str = "http://127.0.0.1:1") -> Result:
    file = folder / "gateway.toml"
    file.write_text(CONFIG.format(base_url=base_url), encoding="utf-8")
    return CliRunner().invoke(app, ["check", str(file), *arguments])


def test_message_that_was_taken_ends_with_0(tmp_path: Path) -> None:
    with service(201, '{"sid": "SM1", "status": "queued"}') as (url, bodies):
        result = check(tmp_path, "--live", "twilio", "--to", "+14155550123", base_url=url)

    assert result.exit_code == 0, result.output
    assert "twilio (twilio, sms): accepted" in result.output
    assert "SM1" in result.output
    (body,) = bodies
    form = parse_qs(body.partition("\n")[2])
    assert form["To"] == ["+14155550123"]
    assert form["Body"] == ["This is a test message of gateway."]
    assert not (tmp_path / "gateway.db").exists()


def test_refusal_ends_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    with service(401, '{"code": 20003, "message": "Authenticate"}') as (url, bodies):
        result = check(tmp_path, "--live", "twilio", "--to", "+14155550123", base_url=url)

    assert result.exit_code == exits.FAILED
    assert "credential" in result.output
    assert "[providers.twilio]" in result.output
    assert "not-to-be-shown" not in result.output
    assert len(bodies) == 1


def test_json_says_the_same_for_programs(tmp_path: Path) -> None:
    with service(400, '{"code": 21211, "message": "bad To"}') as (url, _):
        result = check(tmp_path, "--live", "twilio", "--to", "+14155550123", "--json", base_url=url)

    told = json.loads(result.stdout)
    assert result.exit_code == exits.FAILED
    assert (told["ok"], told["result"], told["code"]) == (False, "rejected", "21211")
    assert told["next"].startswith("It will not send to this address")


@pytest.mark.parametrize(("account", "to"), [("twilio", "+14155550123"), ("relay", "li@x.example")])
def test_service_that_is_not_there_is_told(tmp_path: Path, account: str, to: str) -> None:
    result = check(tmp_path, "--live", account, "--to", to)

    assert result.exit_code == exits.FAILED
    assert "Nothing left" in result.output


def test_template_of_the_provider_is_filled_in(tmp_path: Path) -> None:
    arguments = ("--live", "cn", "--to", "+8613800138000", "--template", "code")
    with service(200, '{"Code": "OK", "BizId": "1^0"}') as (url, bodies):
        result = check(tmp_path, *arguments, "--data", '{"code": "4711"}', base_url=url)

    assert result.exit_code == 0, result.output
    assert "SMS_1" in bodies[0]
    assert "4711" in bodies[0]


def test_what_the_account_can_never_carry_is_not_sent(tmp_path: Path) -> None:
    with service(200, "{}") as (url, bodies):
        result = check(tmp_path, "--live", "cn", "--to", "+8613800138000", base_url=url)

    assert result.exit_code == exits.FAILED
    assert "no template of aliyun" in result.output
    assert bodies == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--live", "nobody", "--to", "+14155550123"], "there are: cn, relay, twilio"),
        (["--live", "twilio"], "a phone number"),
        (["--live", "relay"], "an email address"),
        (["--live", "relay", "--to", "nobody"], "an email address"),
        (["--live", "twilio", "--to", "+14155550123", "--template", "none"], "--template"),
    ],
)
def test_what_is_missing_is_asked_for(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = check(tmp_path, *arguments)

    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    "result",
    [
        wire.Accepted(),
        wire.Unknown(code="timeout"),
        *(wire.Rejected(code="x", scope=scope) for scope in wire.Scope),
        *(wire.Deferred(code="x", cause=cause) for cause in wire.Cause),
    ],
)
def test_every_result_has_words(result: wire.AttemptResult) -> None:
    word, following = live.explain(result, "acme")

    assert word
    assert following.endswith((".", "?"))


async def test_a_message_centre_is_bound_to_and_left_again() -> None:
    async with SmppSimulator() as centre:
        account = {
            "kind": "smpp",
            "host": "127.0.0.1",
            "port": centre.port,
            "system_id": centre.system_id,
            "password": centre.password,
        }
        lanes = {"sms": {"channel": "sms", "providers": ["centre"]}}
        found = settings.parse({"lanes": lanes, "providers": {"centre": account}}, environ={})

        result = await probe(
            found,
            "centre",
            to=wire.Address(phone="+14155550123"),
            content=wire.Content(text="hello"),
        )

    assert isinstance(result, wire.Accepted)
    assert result.provider_id
