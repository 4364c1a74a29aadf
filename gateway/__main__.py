"""Entry point of `gateway` and `python -m gateway`."""

import signal

# Ctrl-C during the imports, which take a second, ends the program without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from gateway.cli.main import app  # noqa: E402  after the line above


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app(prog_name="gateway")


if __name__ == "__main__":
    main()
