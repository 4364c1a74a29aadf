"""Client TLS from PEM texts: whom to trust in place of the system's authorities, and who we are.

Knows no provider. The standard library loads a client's certificate from files only, so the text
is in a file of ours (mode 0600) for as long as that takes.
"""

import os
import ssl
import tempfile


def client_context(*, authorities: str = "", certificate: str = "") -> ssl.SSLContext:
    """Verifies certificate and host name, TLS 1.2 or later.

    authorities: PEM; empty: the system's. certificate: ours, its chain and its key without
    password, PEM. Raises ValueError, whose text begins with the parameter's name.
    """
    try:
        context = ssl.create_default_context(cadata=authorities or None)
    except (ssl.SSLError, ValueError):
        raise ValueError("authorities: not certificates in PEM") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        _load(context, certificate)
    return context


def _load(context: ssl.SSLContext, certificate: str) -> None:
    descriptor, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(certificate)
        # An empty password, lest OpenSSL ask for one on the terminal.
        context.load_cert_chain(path, password="")
    except (ssl.SSLError, OSError, ValueError):
        raise ValueError(
            "certificate: not a certificate and its key in PEM without password"
        ) from None
    finally:
        os.unlink(path)
