"""`make certificates`: an authority of one's own, and a certificate of it for each broker.

For tests, and for machines of one's own. Elsewhere certificates come from where all others do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from deploy.secrets import FOLDER
from folkmoot.runtime.clock import SystemClock

HOSTS = ("kafka", "nats", "localhost", "127.0.0.1")
VALID_DAYS = 365


def make(folder: Path = FOLDER, hosts: Sequence[str] = HOSTS, days: int = VALID_DAYS) -> None:
    """Write `ca.pem`, whom to trust, and `broker.pem`, key and certificate, into `folder`.

    Certificates that are there stay. With negative `days` they have expired already.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / "broker.pem").exists():
        return
    authority = trustme.CA()
    until = datetime.fromtimestamp(SystemClock().now() / 1000, UTC) + timedelta(days=days)
    issued = authority.issue_cert(*hosts, not_after=until)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    broker = folder / "broker.pem"
    broker.write_bytes(_pkcs8(issued.private_key_pem.bytes()) + chain)
    broker.chmod(0o444)


def _pkcs8(key: bytes) -> bytes:
    """Return a private key in the only form that Kafka reads."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


if __name__ == "__main__":
    make()
