"""Contexts of TLS for tests, by the certificates in `tests/tls`."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "tls"


def certificate(name: str = "localhost") -> str:
    """Where a certificate is, with its key."""
    return str(FOLDER / f"{name}.pem")


def for_server(name: str = "localhost") -> ssl.SSLContext:
    """What a server shows: the certificate of this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(name))
    return context


def for_client(*trusted: str) -> ssl.SSLContext:
    """What a client has that trusts these certificates; none given: that of localhost."""
    context = ssl.create_default_context()
    for name in trusted or ("localhost",):
        context.load_verify_locations(certificate(name))
    return context
