"""Options that several commands have."""

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
