"""Client TLS from PEM texts: whom to trust beside the system's authorities, and who we are.

Knows no provider. The standard library loads a client's certificate from files only, so the text
is in a file of ours (mode 0600) for as long as that takes.
"""

import os
import ssl
import tempfile
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsTexts:
    """PEM texts; empty ones stand for the usual."""

    #: authorities to trust in place of the system's
    authorities: str = ""
    #: our certificate with its chain and its key without password
    certificate: str = field(default="", repr=False)


def client_context(texts: TlsTexts) -> ssl.SSLContext:
    """Verifies certificate and host name, TLS 1.2 or later. Raises ValueError for unusable texts.

    Reads the system's authorities (30 ms) and may write a file: call it at the start.
    """
    try:
        context = ssl.create_default_context(cadata=texts.authorities or None)
    except (ssl.SSLError, ValueError):
        raise ValueError("authorities that are no certificates in PEM") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if texts.certificate:
        _load(context, texts.certificate)
    return context


def _load(context: ssl.SSLContext, certificate: str) -> None:
    descriptor, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(certificate)
        # An empty password, lest OpenSSL ask for one on the terminal.
        context.load_cert_chain(path, password="")
    except (ssl.SSLError, OSError, ValueError):
        raise ValueError("certificate and key are not a pair in PEM without password") from None
    finally:
        os.unlink(path)
