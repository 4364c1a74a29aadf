"""`gateway lint`: what the rules about content find in templates, or in a text."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from gateway import settings
from gateway.cli import configuration, exits, options, output, tables
from gateway.cli.proofing import Page, Proofs
from gateway.content.lint.words import LONGEST
from gateway.model.wire import Channel

Config = Annotated[
    Path | None,
    typer.Argument(
        envvar="GATEWAY_CONFIG",
        help="Configuration file; needed for templates.",
        metavar="FILE",
        show_default=False,
    ),
]
Template = Annotated[
    str, typer.Option(help="Only this template.", metavar="NAME", show_default=False)
]
Data = Annotated[
    str,
    typer.Option(help="Variables of templates, as JSON, in place of samples.", show_default=False),
]
ByChannel = Annotated[
    Channel | None,
    typer.Option("--channel", help="Read a text of this channel from stdin.", show_default=False),
]
Category = Annotated[str, typer.Option(help="The text's category.")]
Subject = Annotated[str, typer.Option(help="The text's subject or title.", show_default=False)]
Phone = Annotated[
    str, typer.Option(help="Beginning of the number, such as +86.", show_default=False)
]


def lint(
    config: Config = None,
    template: Template = "",
    data: Data = "",
    channel: ByChannel = None,
    category: Category = "service",
    subject: Subject = "",
    phone: Phone = "",
    json: options.Json = False,
) -> None:
    """Look for what is wrong with templates, or with a text.

    Templates are filled in with samples, or with --data, and read as their
    lanes would send them. Ends with 1 when there are errors, with 0 when
    there are none, also when there are warnings and hints.

    A text comes from stdin when --channel is given; HTML begins with <. The
    configuration is optional then. Chinese SMS are taken to go to +86 unless
    --phone says otherwise.

    \b
    gateway lint gateway.toml
    gateway lint gateway.toml --template login-code --data '{"code": "834201"}'
    echo 'Win a free gift' | gateway lint --channel sms --category marketing
    """
    with exits.explained():
        if channel is None:
            pages = _read_templates(config, template, _values(data))
        else:
            pages = [_read_text(config, channel, category, subject, phone)]
    _show(pages, json)
    unread = bool(template) and any(page.trouble for page in pages)
    if unread or any(page.has_errors for page in pages):
        raise typer.Exit(exits.FAILED)


def _read_templates(config: Path | None, template: str, data: Mapping[str, Any]) -> Sequence[Page]:
    if config is None:
        raise typer.BadParameter("give a configuration FILE, or --channel for a text on stdin")
    proofs = Proofs(configuration.read(config).settings)
    if template and template not in proofs.names:
        raise typer.BadParameter(f"--template: there is no template {template!r}")
    names = [template] if template else proofs.names
    return [proofs.read_template(name, data) for name in names]


def _read_text(
    config: Path | None, channel: Channel, category: str, subject: str, phone: str
) -> Page:
    found = _bare(channel) if config is None else configuration.read(config).settings
    try:
        return Proofs(found).read_content(_content(channel, subject), channel, category, phone)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _bare(channel: Channel) -> settings.Settings:
    """As if there were an account that carries the channel, and nothing else."""
    lane = {"channel": channel.value, "providers": ["stdin"]}
    return settings.parse(
        {"lanes": {"stdin": lane}, "providers": {"stdin": {"kind": "http"}}}, environ={}
    )


def _content(channel: Channel, subject: str) -> Mapping[str, str]:
    raw = sys.stdin.buffer.read(4 * LONGEST + 1)
    try:
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError("stdin: not UTF-8") from None
    if len(text) > LONGEST or len(raw) > 4 * LONGEST:
        raise ValueError(f"stdin: longer than {LONGEST} characters")
    if not text:
        raise ValueError("stdin: no text")
    field = "html" if channel is Channel.EMAIL and text.startswith("<") else "text"
    titled = "subject" if channel is Channel.EMAIL else "title"
    return {field: text, **({titled: subject} if subject else {})}


def _values(data: str) -> Mapping[str, Any]:
    try:
        values = orjson.loads(data or "{}")
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"--data is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise typer.BadParameter("--data is a JSON object")
    return values


def _show(pages: Sequence[Page], json: bool) -> None:
    if json:
        output.show_json(_document(pages))
        return
    rows = [
        (page.template, one.severity, one.rule, f"{one.channel}.{one.field}", one.message, one.hint)
        for page in pages
        for one in page.findings
    ]
    named = any(page.template for page in pages)
    columns = ("template", "severity", "rule", "where", "what", "hint")
    tables.show(
        columns if named else columns[1:],
        rows if named else [row[1:] for row in rows],
        empty="Nothing to find fault with.",
    )
    for page in pages:
        if page.trouble:
            output.complain(page.trouble)


def _document(pages: Sequence[Page]) -> Mapping[str, Any]:
    return {
        "ok": not any(page.has_errors for page in pages),
        "findings": [
            {
                **({"template": page.template} if page.template else {}),
                "category": page.category,
                "rule": one.rule,
                "channel": one.channel,
                "field": one.field,
                "severity": one.severity,
                "message": one.message,
                "hint": one.hint,
            }
            for page in pages
            for one in page.findings
        ],
        "troubles": [page.trouble for page in pages if page.trouble],
    }
