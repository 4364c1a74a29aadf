"""The URL of a database, and what of it may be told."""

from urllib.parse import parse_qs, urlsplit

from gateway.model.errors import StoreMismatch


class Address:
    """`postgresql://user:password@host:port/database?…` as the driver takes it.

    Other parameters than libpq's, such as `search_path`, become settings of the session.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def target(self) -> str:
        """Server and database, without secrets. Raises StoreMismatch for what is no URL."""
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError as error:
            raise StoreMismatch("store.url: it cannot be read as a URL of PostgreSQL") from error
        host = parts.hostname or parse_qs(parts.query).get("host", ["localhost"])[0]
        return f"PostgreSQL {host}{f':{port}' if port else ''}{parts.path}"
