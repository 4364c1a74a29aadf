"""Options that several commands have."""

import re
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="GATEWAY_CONFIG",
        help="Configuration file.",
        show_default=False,
        metavar="FILE",
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Url = Annotated[str, typer.Option(envvar="GATEWAY_URL", help="Public address of the gateway.")]
Key = Annotated[str, typer.Option(envvar="GATEWAY_KEY", help="API key.", show_default=False)]


def check_caller(url: str, key: str) -> None:
    """Raises BadParameter for what cannot be asked at all."""
    if not re.match(r"https?://[^/]", url):
        raise typer.BadParameter(f"--url is such as http://127.0.0.1:8080, not {url!r}")
    if not key:
        raise typer.BadParameter("give --key, or set GATEWAY_KEY; in sandbox mode it is gw_sandbox")
