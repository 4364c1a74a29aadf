"""The key file of a Google service account (https://google.aip.dev/auth/4112)."""

from collections.abc import Mapping

from gateway.clock import Clock
from gateway.model import errors
from gateway.providers import auth

#: Where Google gives out tokens.
TOKEN_URI = "https://oauth2.googleapis.com/token"


def read(text: str, *, project_id: str, token_uri: str) -> dict[str, str]:
    """The fields of the key file that are used, those of the settings first. Raises
    SettingsError."""
    key = auth.json_object(text.encode())
    wanted = {
        "project_id": project_id or key.get("project_id"),
        "client_email": key.get("client_email"),
        "private_key": key.get("private_key"),
        "private_key_id": key.get("private_key_id", ""),
        "token_uri": token_uri or key.get("token_uri", TOKEN_URI),
    }
    needed = ("project_id", "client_email", "private_key", "token_uri")
    faults = [
        f"service_account: no {name} in the key file"
        for name in needed
        if not isinstance(wanted[name], str) or not wanted[name]
    ]
    if faults:
        raise errors.SettingsError(faults)
    return {name: str(value) for name, value in wanted.items()}


def credential(key: Mapping[str, str], scope: str, clock: Clock) -> auth.JwtBearer:
    try:
        return auth.JwtBearer(
            issuer=key["client_email"],
            scope=scope,
            private_key=key["private_key"],
            key_id=key["private_key_id"],
            token_uri=key["token_uri"],
            clock=clock,
        )
    except ValueError as error:
        raise errors.SettingsError([f"service_account: private_key is {error}"]) from error
