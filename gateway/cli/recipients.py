"""`gateway recipients`: lists of people to a gateway, and one of them shown or erased."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli import exits, loop, options, output, tables
from gateway.cli.client import Client
from gateway.cli.options import Key, Url
from gateway.cli.upload import CSV, NDJSON, Report, upload
from gateway.model.errors import TransportError

app = typer.Typer(no_args_is_help=True, help="Import, show and erase recipients.")

#: Refused rows that are shown on the screen.
_SHOWN = 20

Id = Annotated[str, typer.Argument(help="Your own id of the recipient.", show_default=False)]


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="NDJSON, or CSV in UTF-8 with a header.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ],
    url: Url = "http://127.0.0.1:8080",
    key: Key = "",
    format: Annotated[
        str, typer.Option(help="ndjson or csv.", show_default="by the file's name")
    ] = "",
    refused: Annotated[
        Path | None,
        typer.Option(
            help="Write all refused rows there: CSV if it ends so, else NDJSON.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Keep the recipients of a file, however long it is.

    A recipient of the same id is replaced; what is the same already costs
    little, so that a file may be imported again when it was cut off. Ends
    with 1 when rows were refused: the others are stored.

    \b
    gateway recipients import people.ndjson
    gateway recipients import people.csv --refused refused.csv
    """
    options.check_caller(url, key)
    kind = format or ("csv" if file.suffix.lower() == ".csv" else "ndjson")
    if kind not in ("csv", "ndjson"):
        raise typer.BadParameter("--format is ndjson or csv")
    with exits.explained():
        size = file.stat().st_size
        report = loop.run(_import(url, key, file, CSV if kind == "csv" else NDJSON, size))
        if refused is not None:
            _write(refused, report.faults)
    if json:
        output.show_json({**report.counts, "faults": report.faults})
    else:
        _show(report, refused)
    if report.counts["refused"]:
        raise typer.Exit(exits.FAILED)


async def _import(url: str, key: str, file: Path, type_: str, size: int) -> Report:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    try:
        async with Client(url, key) as client:
            with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
                task = progress.add_task("0 rows", total=size)

                def advance(size_bytes: int, report: Report) -> None:
                    text = f"{report.counts['rows']:,} rows, {report.counts['refused']:,} refused"
                    progress.update(task, advance=size_bytes, description=text)

                return await upload(client, file, type_, advance)
    except TransportError as error:
        raise _unreachable(url, error) from None


def _unreachable(url: str, error: TransportError) -> TransportError:
    hint = "is it running there? --url names another address"
    return TransportError(f"{url}: {error.reason}; {hint}")


def _write(file: Path, faults: Sequence[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        if file.suffix.lower() == ".csv":
            writer = csv.DictWriter(stream, ("row", "field", "reason"))
            writer.writeheader()
            writer.writerows(faults)
        else:
            stream.writelines(orjson.dumps(one).decode() + "\n" for one in faults)


def _show(report: Report, refused: Path | None) -> None:
    counts = report.counts
    output.say(
        f"{counts['rows']:,} rows: {counts['new']:,} new, {counts['changed']:,} changed, "
        f"{counts['unchanged']:,} unchanged, {counts['refused']:,} refused."
    )
    if refused is not None or not report.faults:
        return
    shown = [(one["row"], one["field"], one["reason"]) for one in report.faults[:_SHOWN]]
    tables.show(("row", "field", "reason"), shown)
    if counts["refused"] > _SHOWN:
        output.say(f"… and {counts['refused'] - _SHOWN:,} more; --refused FILE writes all of them.")


@app.command()
def show(
    id: Id, url: Url = "http://127.0.0.1:8080", key: Key = "", json: options.Json = False
) -> None:
    """Show a recipient, with devices that no provider knows any more.

    \b
    gateway recipients show user-42
    """
    options.check_caller(url, key)

    async def work(client: Client) -> Mapping[str, Any]:
        return await client.read_recipient(id)

    with exits.explained():
        found = loop.run(_ask(url, key, work))
    if json:
        output.show_json(found)
        return
    rows = [(name, _text(name, value)) for name, value in found.items()]
    tables.show(("field", "value"), rows)


def _text(name: str, value: Any) -> str:
    """A value for people; devices and windows of time one a line."""
    if name == "push":
        return "\n".join(
            f"{one['app']} {one['token']}"
            + (f"  dead since {one['since']}: {one['reason']}" if "reason" in one else "")
            for one in value
        )
    if name == "quiet_hours":
        return "\n".join(f"{one['from']} to {one['to']}" for one in value)
    if isinstance(value, list):
        return ", ".join(value)
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@app.command()
def delete(
    id: Id, url: Url = "http://127.0.0.1:8080", key: Key = "", json: options.Json = False
) -> None:
    """Erase a recipient, and whom messages to it were for and what they said.

    Messages that wait are cancelled. States and attempts of messages stay.

    \b
    gateway recipients delete user-42
    """
    options.check_caller(url, key)

    async def work(client: Client) -> Mapping[str, Any]:
        return await client.erase_recipient(id)

    with exits.explained():
        done = loop.run(_ask(url, key, work))
    if json:
        output.show_json(done)
    else:
        output.say(
            f"Erased, with {done['messages']} messages, of which {done['cancelled']} were waiting."
        )


async def _ask(url: str, key: str, work: Any) -> Mapping[str, Any]:
    try:
        async with Client(url, key) as client:
            answer: Mapping[str, Any] = await work(client)
            return answer
    except TransportError as error:
        raise _unreachable(url, error) from None
