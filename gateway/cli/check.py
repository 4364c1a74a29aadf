"""`gateway check`: everything that is wrong with a configuration file, at once."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import configuration, exits, options, output
from gateway.model.errors import SettingsError


def check(
    config: Annotated[
        Path, typer.Argument(envvar="GATEWAY_CONFIG", help="Configuration file.", metavar="FILE")
    ],
    json: options.Json = False,
) -> None:
    """Check a configuration file and list every fault, by line.

    Reads the secrets that it refers to and opens nothing. Ends with 78 when there are faults,
    with 0 when there are none, also when there are warnings.

    \b
    gateway check gateway.toml
    gateway check gateway.toml --json
    """
    try:
        found = configuration.read(config)
    except SettingsError as error:
        _show(error.faults, (), json)
        raise typer.Exit(exits.CONFIG) from None
    _show((), found.warnings, json)
    if not json:
        settings = found.settings
        output.say(
            f"{config}: good. {len(settings.providers)} provider accounts in "
            f"{len(settings.lanes)} lanes, {len(settings.categories)} categories, "
            f"{len(settings.templates)} templates, {len(settings.tenants)} tenants."
        )


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
        output.say(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}.")
