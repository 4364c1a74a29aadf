"""The command `gateway demo`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from gateway.cli import exits, folders, loop, output, sandbox, tables
from gateway.cli.demo import report, run, view
from gateway.settings import read_duration

#: Seconds between lines where there is no terminal to draw on.
_LINE_EVERY = 2.0

_WHERE = """\
Gateway and simulators are up; nothing leaves this machine.

  API        {api}/v1/messages      key {key}
  Docs       {api}/docs
  Metrics    {internal}/metrics
  Files      {folder}: gateway.toml, gateway.db, gateway.log
             {files}
"""


def demo(
    duration: Annotated[
        str,
        typer.Option("--for", help="Stop sending after this long.", show_default="until Ctrl-C"),
    ] = "",
    rate: Annotated[float, typer.Option(min=1, max=1000, help="Messages a second.")] = 50.0,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Keep configuration, database and log in this folder.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Start a gateway among simulators, send through it, and show what becomes of the messages.

    Several chains, push to SMS to email among them, providers that fail and
    throttle, receipts, and signed webhooks; quiet hours, a recipient who has
    opted out, and a frequency cap. Needs no configuration, no account
    and no internet.

    \b
    gateway demo
    gateway demo --for 20s --rate 200
    gateway demo --for 5s --json
    """
    plan = run.Plan(seconds=_seconds(duration), rate=rate)
    with exits.explained(), folders.opened(keep) as folder, _shown(quiet=json) as show:

        def started(where: run.Addresses) -> None:
            if not json:
                output.say(_where(where, kept=keep is not None))

        result = loop.run(run.run(plan, folder, started=started, show=show))
    if json:
        output.show_json({**result.report.to_json(), "examples": result.examples})
    else:
        tables.console().print(view.ending(result.report, result.examples))


def _seconds(duration: str) -> float | None:
    if not duration:
        return None
    try:
        return float(str(read_duration(duration)))
    except ValueError as error:
        raise typer.BadParameter(f"--for is {error}") from None


def _where(where: run.Addresses, *, kept: bool) -> str:
    return _WHERE.format(
        api=where.api,
        internal=where.internal,
        folder=where.folder,
        key=sandbox.API_KEY,
        files="They stay there." if kept else "They go in the end; --keep DIR keeps them.",
    )


@contextmanager
def _shown(*, quiet: bool) -> Iterator[run.Show]:
    """How progress is shown: not at all, on a live page, or as a line now and then."""
    console = tables.console()
    if quiet:
        yield lambda found, note: None
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda found, note: live.update(view.page(found, note), refresh=True)
    else:
        yield _Lines()


class _Lines:
    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, found: report.Report, note: str) -> None:
        if found.seconds >= self._next:
            self._next = found.seconds + _LINE_EVERY
            output.say(view.line(found))
