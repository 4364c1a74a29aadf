"""A server's TLS from PEM texts; the standard library reads them from a file only."""

import os
import ssl
import tempfile


def server(pair: str, *, trusting: str = "", protocol: str = "") -> ssl.SSLContext:
    """pair: certificate and key. trusting: certificates that clients may show. protocol: ALPN."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    descriptor, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(pair)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
    if trusting:
        context.load_verify_locations(cadata=trusting.partition("-----BEGIN PRIVATE")[0])
    if protocol:
        context.set_alpn_protocols([protocol])
    return context
