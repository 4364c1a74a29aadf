"""The commands of `gateway`, put together.

A command is imported when it is called for: most of what `serve` needs takes longer to import than
the other commands take to run.
"""

import importlib
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import gateway
from gateway.cli import output

#: By name: the function or group of commands, and the line that `gateway --help` says about it.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": (
        "gateway.cli.serve:serve",
        "Run the gateway until SIGTERM or Ctrl-C, then finish what is in flight.",
    ),
    "demo": (
        "gateway.cli.demo.command:demo",
        "Start a gateway among simulators, send through it, and show what becomes of the messages.",
    ),
    "check": (
        "gateway.cli.check:check",
        "Check a configuration file and list every fault, by line.",
    ),
    "lint": (
        "gateway.cli.lint:lint",
        "Look for what is wrong with templates, or with a text.",
    ),
    "send": ("gateway.cli.send:send", "Send one message and show what becomes of it."),
    "key": ("gateway.cli.key:app", "Create, list and revoke API keys."),
    "recipients": (
        "gateway.cli.recipients:app",
        "Import, show and erase recipients.",
    ),
    "dead": ("gateway.cli.dead:app", "List dead letters and send them again."),
    "suppressions": (
        "gateway.cli.suppressions:app",
        "Import, list and lift suppressions.",
    ),
    "migrate": (
        "gateway.cli.migrate:migrate",
        "Set up the store, or bring its schema up to date. No gateway may be using it.",
    ),
    "version": ("gateway.cli.version:version", "Print the version."),
}


class _Commands(TyperGroup):
    """Knows the commands by name and line, and loads the one that is to run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else command, rest


def load(name: str) -> Any:
    """The command with all its options."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    group = typer.Typer(rich_markup_mode="rich")
    if isinstance(found, typer.Typer):
        group.add_typer(found, name=name)
    else:
        group.command(name)(found)
    return typer.main.get_group(group).commands[name]


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is for us, and must not show local values
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Durable multi-channel message dispatch: email, SMS, push and webhooks over one HTTP API.",
    epilog="Start with `gateway demo`, or `gateway serve` for a sandbox to send to.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        output.say(gateway.__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Options of the program itself; its help is above."""


def _not_loaded() -> None:
    """Stands in the list for a command."""


for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(_not_loaded)
