"""`gateway check`: everything that is wrong with a configuration file, at once."""

from collections.abc import Sized
from pathlib import Path
from typing import Annotated

import typer

from gateway import settings
from gateway.cli import configuration, exits, options, output, proofing
from gateway.model.errors import SettingsError

Live = Annotated[
    str,
    typer.Option(
        "--live",
        help="Send a test message by this provider.",
        metavar="PROVIDER",
        show_default=False,
    ),
]
To = Annotated[str, typer.Option(help="Where the test message goes.", show_default=False)]
Template = Annotated[
    str, typer.Option(help="Configured template of the test message.", show_default=False)
]
Data = Annotated[str, typer.Option(help="Its variables, as JSON.", show_default=False)]


def check(
    config: Annotated[
        Path, typer.Argument(envvar="GATEWAY_CONFIG", help="Configuration file.", metavar="FILE")
    ],
    provider: Live = "",
    to: To = "",
    template: Template = "",
    data: Data = "",
    json: options.Json = False,
) -> None:
    """Check a configuration file and list every fault, by line.

    Reads the secrets that it refers to and opens nothing. Warns of what rules
    about content find in templates, see `gateway lint`. Ends with 78 when
    there are faults, with 0 when there are none, also when there are warnings.

    With --live one test message is sent for real, by that provider, with no
    gateway running and nothing stored. Ends with 1 unless it was taken.

    \b
    gateway check gateway.toml
    gateway check gateway.toml --json
    gateway check gateway.toml --live twilio --to +14155550123
    gateway check gateway.toml --live aliyun --to +8613800138000 \\
        --template login-code --data '{"code": "834201"}'
    """
    try:
        found = configuration.read(config)
    except SettingsError as error:
        _show(error.faults, (), json)
        raise typer.Exit(exits.CONFIG) from None
    if provider:
        from gateway.cli import live  # transports, which a check alone does not need

        live.run(found.settings, provider, to=to, template=template, data=data, json=json)
        return
    _show((), (*found.warnings, *proofing.template_warnings(found.settings)), json)
    if not json:
        output.say(f"{config}: good. It has {_contents(found.settings)}.")


def _contents(found: settings.Settings) -> str:
    """Categories include those that there are without configuration."""
    accounts, lanes = _count(found.providers, "provider account"), _count(found.lanes, "lane")
    categories = _count(found.categories, "category", "categories")
    templates, tenants = _count(found.templates, "template"), _count(found.tenants, "tenant")
    return f"{accounts} in {lanes}, {categories}, {templates}, {tenants}"


def _count(things: Sized, one: str, many: str = "") -> str:
    return f"{len(things)} {one if len(things) == 1 else many or one + 's'}"


def _show(faults: tuple[str, ...], warnings: object, json: bool) -> None:
    texts = list(warnings) if isinstance(warnings, tuple | list) else []
    if json:
        output.show_json({"ok": not faults, "faults": faults, "warnings": texts})
        return
    for fault in faults:
        output.say(f"fault    {fault}")
    for warning in texts:
        output.say(f"warning  {warning}")
    if faults:
        output.say(f"{_count(faults, 'fault')}.")
