"""What is known of sandbox mode without its simulators; those are in `stand`."""

from importlib import resources
from pathlib import Path

from gateway.model.errors import SettingsError

#: Good for nothing but the sandbox, which listens on loopback and delivers nothing.
API_KEY = "gw_sandbox"

#: Name of the configuration in the sandbox's folder.
FILE = "gateway.toml"


def spare(folder: Path) -> None:
    """Raises SettingsError if the folder has a configuration that the sandbox did not write."""
    file, mark = folder / FILE, template().partition("\n")[0]
    if file.exists() and not file.read_text(encoding="utf-8", errors="replace").startswith(mark):
        raise SettingsError(
            [f"{file} is not the sandbox's, which would overwrite it: name another folder"]
        )


def template() -> str:
    """The configuration, with places to fill in."""
    return resources.files("gateway.cli").joinpath("sandbox.toml").read_text(encoding="utf-8")
