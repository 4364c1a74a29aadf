"""The commands of `gateway`, put together."""

from typing import Annotated

import typer

import gateway
from gateway.cli import check, dead, key, migrate, options, output, send, serve
from gateway.cli.demo import command as demo

app = typer.Typer(
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


def version(json: options.Json = False) -> None:
    """Print the version."""
    if json:
        output.show_json({"version": gateway.__version__})
    else:
        output.say(gateway.__version__)


app.command()(serve.serve)
app.command()(demo.demo)
app.command()(check.check)
app.command()(send.send)
app.add_typer(key.app, name="key")
app.add_typer(dead.app, name="dead")
app.command()(migrate.migrate)
app.command()(version)
