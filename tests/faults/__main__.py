"""`python -m tests.faults`: play faults at length, print a table, fail when an invariant broke."""

import asyncio
import json as json_
import random
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.faults import run
from tests.faults.cases import CASES
from tests.faults.namespaces import CannotPlay
from tests.faults.trial import Form, Result
from tests.nursery import Nursery

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    only: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(CASES)}")] = None,
    seed: Annotated[int | None, typer.Option(help="of messages and moments; default: any")] = None,
    short: Annotated[bool, typer.Option(help="as the tests do it")] = False,
    json: Annotated[bool, typer.Option(help="print the results as JSON, no table")] = False,
) -> None:
    """Play faults, all without --only. Exit code 1 when an invariant broke."""
    unknown = set(only or ()) - set(CASES)
    if unknown:
        raise typer.BadParameter(f"no such fault: {', '.join(sorted(unknown))}")
    form = Form.SHORT if short else Form.LONG
    chosen = [one for one in CASES.values() if form in one.forms and (not only or one.name in only)]
    seed = random.SystemRandom().randrange(1, 10**6) if seed is None else seed
    console = Console(stderr=json)
    results = asyncio.run(_run(chosen, seed, form, console))
    if json:
        Console().print_json(json_.dumps([one.to_json() for one in results]))
    else:
        _show(console, results)
    if any(one.broken for one in results):
        raise typer.Exit(1)


async def _run(
    chosen: Sequence[run.AnyCase], seed: int, form: Form, console: Console
) -> list[Result]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    results = []
    with ExitStack() as stack:
        nursery = stack.enter_context(Nursery()) if form is Form.SHORT else None
        runner = run.Runner(seed, form, nursery)
        progress = stack.enter_context(
            Progress(*columns, console=console, disable=not console.is_terminal)
        )
        for number, case in enumerate(chosen, 1):
            name = f"{number:>2} of {len(chosen)} {case.name}"
            task = progress.add_task(f"{name}: {case.what}", total=None)
            results.append(await _play(runner, case))
            end = "[red]broken[/]" if results[-1].broken else "held"
            progress.update(task, description=f"{name}: {end}", total=1, completed=1)
            if not console.is_terminal:
                console.print(f"{name}: {end}")
            if results[-1].broken:
                console.print(results[-1].explain(), markup=False, highlight=False)
    return results


async def _play(runner: run.Runner, case: run.AnyCase) -> Result:
    """A fault that was not played has not been withstood."""
    try:
        return await runner.run(case)
    except CannotPlay as error:
        return runner.result(case, broken=[f"not played: {error}"])


def _show(console: Console, results: Sequence[Result]) -> None:
    seed = results[0].seed if results else "none"
    caption = f"seed {seed}; seconds to recover"
    table = Table(box=box.SIMPLE, caption=caption, padding=(0, 1), show_edge=False)  # in 80 columns
    table.add_column("fault", no_wrap=True)
    for name in ("messages", "lost", "duplicated", "unknown", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in results:
        verdict = one.verdict
        counts = (verdict.messages, verdict.lost, verdict.duplicated, verdict.unknown)
        table.add_row(
            one.fault,
            *(f"{count:,}" for count in counts),
            f"{one.recovery_seconds:.1f}",
            f"[red]{len(one.broken)} broken" if one.broken else "held",
        )
    console.print(table)


if __name__ == "__main__":
    app()
