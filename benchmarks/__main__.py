"""`python -m benchmarks [NAME …]`: run benchmarks, print a table, write JSON and a page."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer
import uvloop
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import (
    accept,
    backlog,
    batch,
    latency,
    mixed,
    nodes,
    page,
    push,
    races,
    rate,
    receipts,
    receivers,
    recipients,
    report,
    store,
    submits,
    urgent,
)
from benchmarks.load import Progress as Note
from benchmarks.variant import USUAL, Variant

#: Those that also run on PostgreSQL and in several processes, unless that is what they are about.
_VARIED: Mapping[str, Callable[[float, Note, Variant], Awaitable[report.Result]]] = {
    **{name: one.run for name, one in races.RACES.items() if one.usual == USUAL},
    "accept": accept.run,
    "batch": batch.run,
    "latency": latency.run,
    "push": push.run,
    "receipts": receipts.run,
    "smpp": submits.run,
}

_ALL: Mapping[str, Callable[[float, Note], Awaitable[report.Result]]] = {
    **{name: one.run for name, one in races.RACES.items()},
    "batch": batch.run,
    "push": push.run,
    "smpp": submits.run,
    "accept": accept.run,
    "latency": latency.run,
    "mixed": mixed.run,
    "urgent": urgent.run,
    "rate": rate.run,
    "receipts": receipts.run,
    "webhooks": receivers.run,
    "recipients": recipients.run,
    "backlog": backlog.run,
    "nodes": nodes.run,
    "store": store.run,
}

#: The scale at which all of them take less than ten minutes, and goals can just be judged.
_USUAL = 0.1

app = typer.Typer(add_completion=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(_ALL)}")] = None,
    scale: Annotated[
        float, typer.Option(help="size of everything; 1 for figures to rely on, 0.02 for a look")
    ] = _USUAL,
    out: Annotated[
        Path, typer.Option(help="where the figures go as JSON, and as a page beside it")
    ] = Path("benchmarks/results/latest.json"),
    postgres: Annotated[
        bool, typer.Option(help=f"on PostgreSQL: {', '.join(_VARIED)}", show_default=False)
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, help="of the gateway; more than one share a PostgreSQL")
    ] = 1,
    json: Annotated[bool, typer.Option(help="print the figures as JSON, no table")] = False,
) -> None:
    """Run benchmarks, all without names. Exit code 1 when a goal was missed, except at a scale that
    is too small to tell."""
    variant = Variant(postgres=postgres or processes > 1, processes=processes)
    chosen = _choose(names or (), variant)
    console = Console(stderr=json)
    results = uvloop.run(_run(chosen, scale, variant, console))
    about = page.machine()
    figures = orjson.dumps({"machine": about, "results": results}, option=orjson.OPT_INDENT_2)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(figures)
    seen = out.with_suffix(".html")
    seen.write_text(page.render(results, about))
    if json:
        print(figures.decode())
    else:
        report.show(console, results)
        console.print(f"Charts: {seen.resolve().as_uri()}", soft_wrap=True)
    if scale >= _USUAL and any(one.reached is False for one in results):
        raise typer.Exit(1)


def _choose(names: Collection[str], variant: Variant) -> Sequence[str]:
    """Those named, or all, that can run in this way."""
    there = _ALL if variant == USUAL else _VARIED
    if unknown := set(names) - set(_ALL):
        raise typer.BadParameter(f"no such benchmark: {', '.join(sorted(unknown))}")
    if fixed := set(names) - set(there):
        raise typer.BadParameter(f"always run in one way: {', '.join(sorted(fixed))}")
    return [name for name in there if not names or name in names]


async def _one(name: str, scale: float, note: Note, variant: Variant) -> report.Result:
    if variant == USUAL:
        return await _ALL[name](scale, note)
    return variant.tell(await _VARIED[name](scale, note, variant))


async def _run(
    names: Sequence[str], scale: float, variant: Variant, console: Console
) -> list[report.Result]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    results = []
    with Progress(*columns, console=console) as progress:
        for name in names:
            task = progress.add_task(name, total=None)

            def note(done: int, of: int, task: object = task, name: str = name) -> None:
                progress.update(task, description=f"{name} {done:,} of {of:,}")  # type: ignore[arg-type]

            results.append(await _one(name, scale, note, variant))
            progress.update(task, description=f"{name} done", total=1, completed=1)
            await asyncio.sleep(0)
    return results


if __name__ == "__main__":
    app()
