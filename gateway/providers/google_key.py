"""Key files of Google's service accounts, and the access tokens that they get.

https://developers.google.com/identity/protocols/oauth2/service-account
"""

from collections.abc import Mapping

from gateway.clock import Clock
from gateway.model import errors
from gateway.providers import auth

TOKEN_URI = "https://oauth2.googleapis.com/token"


def read(text: str, *, needed: Mapping[str, str]) -> dict[str, str]:
    """The fields of the key file `text` that are used, with those that settings say better.

    needed: the names that there must be beside the key itself, with what settings say or nothing.
    Raises SettingsError, which repeats nothing of the file.
    """
    key = auth.json_object(text.encode())
    wanted = {
        "client_email": key.get("client_email"),
        "private_key": key.get("private_key"),
        "private_key_id": key.get("private_key_id", ""),
        "token_uri": key.get("token_uri", TOKEN_URI),
    }
    for name, value in needed.items():
        wanted[name] = value or wanted.get(name, key.get(name))
    faults = [
        f"service_account: no {name} in the key file"
        for name, value in wanted.items()
        if name != "private_key_id" and (not isinstance(value, str) or not value)
    ]
    if faults:
        raise errors.SettingsError(sorted(faults))
    return {name: str(value) for name, value in wanted.items()}


def credential(key: Mapping[str, str], scope: str, clock: Clock) -> auth.JwtBearer:
    """Access tokens for what `read` gave. Raises SettingsError."""
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
