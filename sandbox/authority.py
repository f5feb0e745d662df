"""The certificate authority of the sandbox, and the one certificate that its servers share."""

import shutil
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Authority:
    """Files of one authority: what clients trust, and what servers show (for 127.0.0.1, ::1 and localhost)."""

    ca_file: Path
    certificate_file: Path
    key_file: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.ca_file))


def authority(home: Path) -> Authority:
    """The authority kept in `home`, made on first use. Safe when several processes ask at once."""
    place = home / "tls"
    if not place.is_dir():
        _make(home, place)
    return Authority(ca_file=place / "ca.pem", certificate_file=place / "certificate.pem", key_file=place / "key.pem")


def _make(home: Path, place: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".tls-", dir=home))
    ca = trustme.CA(organization_name="bronze-collector sandbox")
    leaf = ca.issue_cert("127.0.0.1", "::1", "localhost")
    ca.cert_pem.write_to_path(str(draft / "ca.pem"))
    (draft / "certificate.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    (draft / "key.pem").touch(mode=0o600)
    leaf.private_key_pem.write_to_path(str(draft / "key.pem"))
    try:
        draft.rename(place)
    except OSError:
        # Another process was first. Its authority is as good as ours.
        shutil.rmtree(draft)
        if not place.is_dir():
            raise
