"""`gateway version`."""

import gateway
from gateway.cli import options, output


def version(json: options.Json = False) -> None:
    """Print the version."""
    if json:
        output.show_json({"version": gateway.__version__})
    else:
        output.say(gateway.__version__)
