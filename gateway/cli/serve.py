"""`gateway serve`: the gateway itself, by a configuration file or in front of simulators."""

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

import gateway
from gateway import logs, settings
from gateway.app import Gateway
from gateway.cli import (
    configuration,
    exits,
    folders,
    loop,
    output,
    ports,
    sandbox,
    serving,
    simulators,
    supervisor,
)
from gateway.model.errors import SettingsError
from gateway.model.roles import Role

_SANDBOX = """\
gateway {version}, sandbox mode: providers are simulated, nothing leaves this machine.
There is no configuration file; give one with --config FILE or GATEWAY_CONFIG.
Ctrl-C ends it.

  API          {api}/v1/messages
  Docs         {api}/docs
  Metrics      {internal}/metrics
  API key      {key}
  Config       {file}
  Webhooks     {receiver}/_sandbox/log   (what you would be told)
  Simulators   {simulators}

Send a message, from another terminal:

  curl -sS {api}/v1/messages \\
    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"to": {{"phone": "+14155550123"}}, "content": {{"text": "Hello"}}}}'

  {program} send --url {api} \\
    --key {key} --phone +14155550123 --text Hello
"""

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="GATEWAY_CONFIG",
        help="Configuration file; without one, sandbox mode on loopback.",
        metavar="FILE",
        show_default=False,
    ),
]
Processes = Annotated[
    int, typer.Option(min=1, help="Processes that share the work; over 1 needs PostgreSQL.")
]
Keep = Annotated[
    Path | None,
    typer.Option(
        help="Sandbox mode: keep database and configuration in this folder.",
        metavar="DIR",
        show_default=False,
    ),
]
LogLevel = Annotated[
    str, typer.Option(envvar="GATEWAY_LOG_LEVEL", help="debug, info, warning or error.")
]
RoleOption = Annotated[
    Role, typer.Option("--role", help="Take messages in, send them, or both; needs PostgreSQL.")
]
Member = Annotated[bool, typer.Option("--member", hidden=True)]
Sockets = Annotated[str, typer.Option("--sockets", hidden=True)]
UntilEof = Annotated[
    bool, typer.Option("--until-eof", help="Stop when standard input, a pipe, ends.")
]


def serve(
    config: Config = None,
    processes: Processes = 1,
    role: RoleOption = Role.ALL,
    keep: Keep = None,
    log_level: LogLevel = "INFO",
    until_eof: UntilEof = False,
    member: Member = False,
    sockets: Sockets = "",
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C, then finish what is in flight.

    Ends with 78 when the configuration cannot be used, with 75 when the store
    or a port is not available now.

    \b
    gateway serve --config /etc/gateway/gateway.toml
    gateway serve
    gateway serve --keep ./sandbox
    gateway serve --config gateway.toml --processes 4
    """
    level = _level(log_level)
    if until_eof and not loop.can_wait_for_eof():
        raise typer.BadParameter("standard input is not a pipe", param_hint="--until-eof")
    logs.configure(level)
    with exits.explained():
        if config is None:
            _refuse_sharing(processes, role, "sqlite:")
            with folders.opened(keep) as folder:
                loop.run(_serve_sandbox(folder, until_eof=until_eof))
            return
        found = _read(config)
        _refuse_sharing(processes, role, found.store.url)
        if processes > 1:
            _supervise(config, found, processes, role, level)
        announce = _announce_nothing if member else _announce
        bound = ports.inherited(sockets) if sockets else None
        loop.run(
            serving.serve(
                found, announce, until_eof=until_eof, role=role, shares_ports=member, bound=bound
            )
        )


def _supervise(
    config: Path, found: settings.Settings, processes: int, role: Role, level: str
) -> None:
    _refuse_port_zero(found)
    words = supervisor.command(config, role=role, log_level=level)

    def announce() -> None:
        api, internal = _url(*found.api.listen), _url(*found.api.internal)
        output.say(
            f"gateway {gateway.__version__} serves {api} (internal {internal}) "
            f"by {processes} processes"
        )
        serving.tell_systemd("READY=1")

    one = supervisor.Supervisor(words, processes, drain=found.dispatch.drain, on_ready=announce)
    raise typer.Exit(loop.run(one.run()))


def _refuse_port_zero(found: settings.Settings) -> None:
    faults = [
        f"api.{name}: port 0 gives each process another; name one"
        for name, (_, port) in (("listen", found.api.listen), ("internal", found.api.internal))
        if port == 0
    ]
    if faults:
        raise SettingsError(faults)


def _level(name: str) -> str:
    if name.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise typer.BadParameter("--log-level is one of debug, info, warning, error")
    return name.upper()


def _refuse_sharing(processes: int, role: Role, url: str) -> None:
    if not url.startswith("sqlite") or (processes == 1 and role is Role.ALL):
        return
    asked = f"--processes {processes}" if processes > 1 else f"--role {role}"
    raise SettingsError(
        [
            f"{asked}: SQLite serves exactly one process; for more, set "
            '[store] url to a PostgreSQL, such as "postgresql://gateway@db/gateway"'
        ]
    )


def _read(config: Path) -> settings.Settings:
    found = configuration.read(config)
    for warning in found.warnings:
        output.complain(f"warning: {warning}")
    return found.settings


def _announce_nothing(running: Gateway) -> None:
    """The supervisor speaks for all."""


def _announce(running: Gateway) -> None:
    api, internal = _urls(running)
    output.say(f"gateway {gateway.__version__} serves {api} (internal {internal})")


def _urls(running: Gateway) -> tuple[str, str]:
    api = running.settings.api
    return _url(api.listen[0], running.port), _url(api.internal[0], running.internal_port)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve_sandbox(folder: Path, *, until_eof: bool) -> None:
    with ports.bind() as bound:
        async with simulators.started(folder, bound.numbers) as urls:
            file = folder / sandbox.FILE
            found = configuration.read(file).settings

            def welcome(running: Gateway) -> None:
                output.say(_welcome(running, file, urls))

            await serving.serve(found, welcome, until_eof=until_eof, bound=bound)


def _welcome(running: Gateway, file: Path, urls: Mapping[str, str]) -> str:
    api, internal = _urls(running)
    names = [f"{name} {url}/_sandbox/log" for name, url in urls.items() if name != "receiver"]
    return _SANDBOX.format(
        version=gateway.__version__,
        api=api,
        internal=internal,
        key=sandbox.API_KEY,
        file=file,
        receiver=urls["receiver"],
        program=_program(),
        simulators="\n               ".join(names),
    )


def _program() -> str:
    """How to call this program again from the same folder, as one that is ready to paste."""
    called = sys.argv[0]
    if Path(called).name != "gateway":
        return f"{shlex.quote(sys.executable)} -m gateway"
    found = shutil.which("gateway")
    return "gateway" if found and Path(found).samefile(called) else shlex.quote(called)
