"""What needs no running gateway: help, version, refusals, and a store of one's own."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from gateway import __version__
from gateway.cli import exits, tables
from gateway.cli.main import COMMANDS, app, load

Run = Callable[..., "subprocess.CompletedProcess[str]"]

CONFIG = """
[store]
url = "sqlite://{folder}/gateway.db"

[tenants.billing]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG.format(folder=tmp_path))
    return file


@pytest.mark.parametrize(
    "command",
    [
        "serve",
        "demo",
        "check",
        "send",
        "migrate",
        "version",
        "key create",
        "dead redrive",
        "recipients import",
    ],
)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert command == "version" or f"gateway {command}" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_words_of_help_fit_into_80_columns(name: str) -> None:
    command = load(name)
    texts = [one.help for one in getattr(command, "commands", {name: command}).values()]

    assert all(texts)
    assert [line for text in texts for line in text.splitlines()[1:] if len(line) > 78] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_line_about_a_command_is_what_its_own_help_begins_with(name: str) -> None:
    paragraph = load(name).help.partition("\n\n")[0]

    assert COMMANDS[name][1] == " ".join(paragraph.split())


@pytest.mark.parametrize(
    ("name", "unneeded"),
    [
        ("version", {"pydantic", "gateway.settings", "gateway.dispatch"}),
        ("send", {"pydantic", "aiohttp", "gateway.settings"}),
        ("recipients", {"pydantic", "aiohttp", "gateway.settings"}),
        ("check", {"rich", "aiohttp", "gateway.app", "gateway.api", "prometheus_client"}),
        ("key", {"aiohttp", "gateway.app", "gateway.api", "prometheus_client"}),
        ("serve", {"rich", "cryptography.x509"}),
    ],
)
def test_command_imports_nothing_heavy_that_it_does_not_need(name: str, unneeded: set[str]) -> None:
    program = (
        "import sys; from gateway.cli.main import load; "
        f"load({name!r}); print(*sys.modules, sep='\\n')"
    )
    always = {"email_validator", "phonenumbers", "asyncpg", "aiosmtpd", "gateway.sandbox"}

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert {*unneeded, *always}.isdisjoint(done.stdout.splitlines())


def test_version() -> None:
    result = CliRunner().invoke(app, ["version", "--json"])
    flag = CliRunner().invoke(app, ["--version"])

    assert json.loads(result.stdout) == {"version": __version__}
    assert flag.stdout == f"{__version__}\n"


def test_ids_are_not_broken_by_a_narrow_terminal() -> None:
    ids = [f"01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a2{place}" for place in range(3)]
    rows = [(id_, "tenant-of-a-long-name", "2030-03-21 01:00:00") for id_ in ids]
    page = Console(width=60, record=True, file=io.StringIO())

    page.print(tables.table(("id", "tenant", "created (UTC)"), rows))

    text = page.export_text()
    assert all(id_ in text for id_ in ids)
    assert max(map(len, text.splitlines())) <= 60


def test_address_of_no_gateway_is_refused_with_an_example() -> None:
    result = CliRunner().invoke(app, ["send", "--url", "localhost", "--key", "k"])

    assert result.exit_code == 2
    assert "http://127.0.0.1:8080" in result.stderr


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_configuration_that_is_not_of_the_sandbox_is_not_overwritten(
    gateway: Run, config: Path, command: str
) -> None:
    before = config.read_text()

    done = gateway(command, "--keep", config.parent)

    assert done.returncode == exits.CONFIG
    assert "name another folder" in done.stderr
    assert config.read_text() == before


def test_processes_on_sqlite_are_refused_and_point_to_postgresql(config: Path) -> None:
    arguments = ["serve", "--processes", "2", "--config", str(config)]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == exits.CONFIG
    assert "--processes 2" in result.stderr
    assert "postgresql://" in result.stderr


def test_end_of_input_is_waited_for_only_on_a_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--until-eof"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "standard input is not a pipe" in done.stderr


def test_serve_refuses_what_check_finds_fault_with(config: Path) -> None:
    text = config.read_text()
    config.write_text(text + "[nonsense]\n[lanes.sms]\nchannel = 'sms'\nproviders = ['a']\n")

    result = CliRunner().invoke(app, ["serve", "--config", str(config)])

    checked = CliRunner().invoke(app, ["check", str(config), "--json"])
    assert result.exit_code == exits.CONFIG
    faults = json.loads(checked.stdout)["faults"]
    assert len(faults) == 2
    assert all(fault in result.stderr for fault in faults)


def test_migrate_twice_is_harmless(gateway: Run, config: Path) -> None:
    first = gateway("migrate", "--config", config)
    second = gateway("migrate", "--config", config)

    assert (first.returncode, second.returncode) == (0, 0)
    assert (config.parent / "gateway.db").exists()


def test_key_for_a_tenant_that_is_not_configured_is_refused(gateway: Run, config: Path) -> None:
    done = gateway("key", "create", "nobody", "--config", config)

    assert done.returncode == exits.CONFIG
    assert "[tenants.nobody]" in done.stderr


def test_key_gets_the_scopes_that_were_asked_for(gateway: Run, config: Path) -> None:
    scopes = ("--scope", "admin", "--scope", "read")

    done = gateway("key", "create", "billing", *scopes, "--json", "--config", config)

    assert json.loads(done.stdout)["scopes"] == ["admin", "read"]


def test_redrive_needs_ids_or_all(config: Path) -> None:
    result = CliRunner().invoke(app, ["dead", "redrive", "--config", str(config)])

    assert result.exit_code == 2


def test_folder_that_cannot_be_made_is_one_line(gateway: Run, config: Path) -> None:
    (config.parent / "taken").write_text("")
    config.write_text(config.read_text().replace("gateway.db", "taken/gateway.db"))

    done = gateway("key", "list", "--config", config)

    assert done.returncode == exits.CONFIG
    assert done.stderr.count("\n") == 1
