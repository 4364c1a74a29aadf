"""`gateway serve` in sandbox mode, and the commands that work beside it, as processes."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from gateway.cli import exits, ports
from gateway.cli import sandbox as simulated
from gateway.sandbox.rcs_google import NO_RCS

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Sandbox(Protocol):
    """What the fixture gives."""

    welcome: str
    url: str
    config: Path


@pytest.fixture
def send(gateway: Run, sandbox: Sandbox) -> Run:
    """`gateway send` to the sandbox."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        key = simulated.API_KEY
        return gateway("send", "--url", sandbox.url, *arguments, env={"GATEWAY_KEY": key})

    return run


def test_sandbox_says_that_it_is_one_and_where_everything_is(sandbox: Sandbox) -> None:
    assert "sandbox mode" in sandbox.welcome
    assert f"{sandbox.url}/docs" in sandbox.welcome
    assert re.search(r"http://127\.0\.0\.1:\d+/metrics", sandbox.welcome)
    assert f"Authorization: Bearer {simulated.API_KEY}" in sandbox.welcome


def test_curl_line_of_the_welcome_works(sandbox: Sandbox) -> None:
    start = sandbox.welcome.index("curl ")
    line = sandbox.welcome[start : sandbox.welcome.index("\n\n", start)]

    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["state"] == "queued"


def _encoded(body: object) -> bytes:
    """A text goes as it is."""
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _ask(
    sandbox: Sandbox,
    method: str,
    path: str,
    body: object = None,
    *,
    key: str = simulated.API_KEY,
    kind: str = "application/json",
) -> tuple[int, dict[str, Any]]:
    """Status and body of what the sandbox answers."""
    request = urllib.request.Request(
        sandbox.url + path,
        method=method,
        data=None if body is None else _encoded(body),
        headers={"Authorization": f"Bearer {key}", "Content-Type": kind},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def test_every_example_of_the_documentation_is_taken(sandbox: Sandbox) -> None:
    _, document = _ask(sandbox, "GET", "/openapi.json")
    _, endpoint = _ask(sandbox, "PUT", "/v1/webhooks", {"url": "http://localhost:9000/hooks"})
    names = {"/v1/recipients/{id}": "user-42"}
    posts = [
        (
            method.upper(),
            path.replace("{id}", names.get(path, endpoint["id"])),
            kind,
            example["value"],
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation
        for kind, media in operation["requestBody"]["content"].items()
        for example in media.get("examples", {}).values()
    ]

    answers = {
        (method, path, str(body)): _ask(sandbox, method, path, body, kind=kind)
        for method, path, kind, body in posts
    }

    assert {key: one for key, one in answers.items() if not 200 <= one[0] < 300} == {}
    results = [one for _, body in answers.values() for one in body.get("results", ())]
    assert not [one for one in results if "problem" in one]
    assert len(posts) > 15


def test_sandbox_reports_to_nobody_elsewhere(sandbox: Sandbox) -> None:
    status, problem = _ask(
        sandbox, "PUT", "/v1/webhooks", {"url": "https://billing.example.com/hooks"}
    )

    assert status == 422
    assert [one["field"] for one in problem["faults"]] == ["url"]


def test_send_waits_for_the_end_and_shows_the_timeline(send: Run) -> None:
    done = send("--phone", "+14155550123", "--text", "Hello")

    assert done.returncode == 0, done.stderr
    assert "attempt.accepted" in done.stdout
    assert "acme" in done.stdout


@pytest.mark.parametrize(
    ("phone", "way"),
    [("+15005550100", ["rcs-google"]), (NO_RCS, ["rcs-google", "acme"])],
    ids=["with RCS", "without"],
)
def test_phone_without_rcs_gets_an_sms(send: Run, phone: str, way: list[str]) -> None:
    options = ["--category", "rcs-google", "--text", "Your parcel is here."]

    done = send("--phone", phone, *options, "--settle", "5", "--json")

    message = json.loads(done.stdout)
    assert message["state"] == "delivered"
    tried = [one["provider"] for one in message["timeline"] if one["event"].startswith("attempt.")]
    assert [*dict.fromkeys(tried)] == way


def test_send_prints_the_message_as_json(send: Run) -> None:
    done = send(
        *("--email", "li@example.com", "--template", "login-code"),
        *("--data", '{"code": "1234"}', "--chain", "email", "--settle", "0", "--json"),
    )

    message: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, message["state"]) == (0, "sent")
    assert [one["provider"] for one in message["timeline"] if one["provider"]] == ["relay"]


def test_send_without_waiting_ends_when_it_is_accepted(send: Run) -> None:
    done = send("--phone", "+15005550002", "--text", "Hello", "--no-wait", "--json")

    assert done.returncode == 0
    assert set(json.loads(done.stdout)) == {"id", "state"}


def test_send_of_what_is_refused_names_the_field(send: Run) -> None:
    done = send("--phone", "12", "--text", "Hello")

    assert done.returncode == exits.FAILED
    assert "to.phone" in done.stderr
    assert "Traceback" not in done.stderr


def test_send_to_nobody_is_tried_again_later(gateway: Run) -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        url = f"http://{ports.HOST}:{server.getsockname()[1]}"

    done = gateway("send", "--url", url, "--key", "k", "--phone", "+14155550123", "--text", "Hi")

    assert done.returncode == exits.UNAVAILABLE
    assert done.stderr.count("\n") == 1
    assert url in done.stderr


def test_send_that_has_waited_long_enough_says_what_goes_on(send: Run) -> None:
    trouble = ("--phone", "+15005550015", "--text", "Hello")

    done = send(*trouble, "--timeout", "0.1", "--json")

    message = json.loads(done.stdout)
    assert done.returncode == exits.FAILED
    assert f"still {message['state']} after 0.1 s" in done.stderr
    assert f"/v1/messages/{message['id']}" in done.stderr


def test_key_works_from_its_making_until_it_is_revoked(
    gateway: Run, send: Run, sandbox: Sandbox
) -> None:
    config = ("--config", sandbox.config)
    made = json.loads(gateway("key", "create", "sandbox", *config, "--json").stdout)

    def is_soon(status: int) -> bool:
        for _ in range(100):
            if _ask(sandbox, "GET", "/v1/messages", key=made["key"])[0] == status:
                return True
            time.sleep(0.1)
        return False

    assert is_soon(200)
    sent = send("--key", made["key"], "--phone", "+14155550123", "--text", "Hi", "--no-wait")
    assert sent.returncode == 0
    assert gateway("key", "revoke", made["id"], *config).returncode == 0
    assert is_soon(401)
    (listed,) = json.loads(gateway("key", "list", *config, "--json").stdout)
    assert listed["id"] == made["id"]
    assert listed["revoked_at"] is not None
    assert made["key"] not in json.dumps(listed)
    assert gateway("key", "revoke", made["id"], *config).returncode == exits.FAILED


def test_dead_letter_is_listed_and_sent_again(gateway: Run, send: Run, sandbox: Sandbox) -> None:
    config = ("--config", sandbox.config)
    failed = send("--phone", "+15005550002", "--text", "Hello", "--json")
    message = json.loads(failed.stdout)
    assert (failed.returncode, message["state"]) == (exits.FAILED, "failed")

    listed = json.loads(gateway("dead", "list", *config, "--json").stdout)
    redriven = gateway("dead", "redrive", message["id"], *config, "--json")
    stranger = gateway("dead", "redrive", "01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a21", *config)

    assert message["id"] in [one["id"] for one in listed]
    assert json.loads(redriven.stdout) == {"redriven": [message["id"]], "refused": []}
    assert stranger.returncode == exits.FAILED
    other = gateway("dead", "list", *config, "--tenant", "other", "--json")
    assert json.loads(other.stdout) == []


def test_second_gateway_on_the_same_store_is_refused(gateway: Run, sandbox: Sandbox) -> None:
    done = gateway("serve", "--config", sandbox.config)

    assert done.returncode == exits.CONFIG
    assert "in use by another process" in done.stderr
    assert "Traceback" not in done.stderr


def test_port_in_use_is_tried_again_later(gateway: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    text = sandbox.config.read_text(encoding="utf-8")
    file = sandbox.config.with_name("second.toml")
    file.write_text(text.replace("gateway.db", "second.db"), encoding="utf-8")

    done = gateway("serve", "--config", file)

    assert done.returncode == exits.UNAVAILABLE
    assert "Traceback" not in done.stderr


def test_migrate_wants_the_store_for_itself(gateway: Run, sandbox: Sandbox) -> None:
    done = gateway("migrate", "--config", sandbox.config)

    assert done.returncode == exits.CONFIG


def test_systemd_hears_when_it_listens(gateway: Run, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        f"[store]\nurl = 'sqlite://{tmp_path}/gateway.db'\n"
        "[api]\nlisten = '127.0.0.1:0'\ninternal = '127.0.0.1:0'\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))

        gateway(
            *("serve", "--until-eof", "--config", tmp_path / "gateway.toml"),
            env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
        )

        systemd.setblocking(False)
        assert systemd.recv(100) == b"READY=1"


def test_ports_are_held_from_the_choice_on() -> None:
    with ports.bind() as first, ports.bind() as second:
        both = {*first.numbers, *second.numbers}

        for number in both:
            with pytest.raises(OSError, match="in use"):
                socket.create_server((ports.HOST, number))

    assert len(both) == 4


def test_gateway_listens_on_the_sockets_that_it_inherits(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        f"[store]\nurl = 'sqlite://{tmp_path}/gateway.db'\n"
        "[api]\nlisten = '127.0.0.1:1'\ninternal = '127.0.0.1:2'\n"  # which nobody may bind
    )
    with ports.bind() as bound:
        numbers = bound.numbers
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gateway", "serve", "--until-eof"),
                *("--config", str(tmp_path / "gateway.toml")),
                *("--sockets", ",".join(map(str, bound.descriptors))),
            ],
            stdin=subprocess.PIPE,
            pass_fds=bound.descriptors,
        )

    with process:
        answers = [
            urllib.request.urlopen(f"http://{ports.HOST}:{number}{path}", timeout=60).status
            for number, path in zip(numbers, ("/docs", "/healthz"), strict=True)
        ]
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0

    assert answers == [200, 200]


@pytest.mark.parametrize("words", ["1", "x,y", "998,999"])
def test_what_are_no_sockets_is_refused(gateway: Run, tmp_path: Path, words: str) -> None:
    (tmp_path / "gateway.toml").write_text(f"[store]\nurl = 'sqlite://{tmp_path}/gateway.db'\n")

    done = gateway("serve", "--config", tmp_path / "gateway.toml", "--sockets", words)

    assert done.returncode == exits.CONFIG
    assert "are not two sockets" in done.stderr
