"""An authority of our own and the certificates that players show, the wrong ones too."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import trustme

from sandbox.faults.wire import Certificate


class Certificates:
    """An authority and what servers show: one good certificate for this machine, and the ways of being wrong."""

    def __init__(self) -> None:
        self.authority = trustme.CA(organization_name="bronze-collector faults")
        here = ("localhost", "127.0.0.1")
        yesterday = datetime.now(UTC) - timedelta(days=1)
        leaves: dict[Certificate, trustme.LeafCert] = {
            "good": self.authority.issue_cert(*here),
            "of an unknown authority": trustme.CA().issue_cert(*here),
            "of another name": self.authority.issue_cert("elsewhere.example"),
            "expired": self.authority.issue_cert(*here, not_before=yesterday - timedelta(days=1), not_after=yesterday),
        }
        self._contexts = {name: _server_context(leaf) for name, leaf in leaves.items()}

    def context(self, name: Certificate = "good") -> ssl.SSLContext:
        """Return what a server shows it with."""
        return self._contexts[name]


def _server_context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    return context
