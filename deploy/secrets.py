"""`make secrets`: a password and an nkey for each user of the brokers, as files.

What is there already is kept, so that running it again locks nobody out; delete the folder to get
new ones. Compose mounts the files as they are, so users in containers have to be able to read them;
the folder is what keeps others on this machine out.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import nkeys

from deploy.artefacts.access import nkey_variable
from folkmoot.contracts.access import OUTSIDER, USERS

FOLDER = Path(__file__).parent / "secrets"
ADMIN = "admin"
PASSWORD_BYTES = 32

JAAS = """\
KafkaServer {{
  org.apache.kafka.common.security.plain.PlainLoginModule required
    username="admin" password="{password}" user_admin="{password}";
  org.apache.kafka.common.security.scram.ScramLoginModule required;
}};
"""
"""The one user that Kafka knows from the start: it makes the others."""

SIGN_IN = """\
export FOLKMOOT_BUS_USER={user}
export FOLKMOOT_BUS_PASSWORD={password}
export FOLKMOOT_BUS_NKEY={nkey}
"""
"""What a shell reads to sign in from this machine."""


def new_seed() -> str:
    """Return the seed of a new nkey."""
    seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode()


def public_key(seed: str) -> str:
    """Return the public half of an nkey."""
    return bytes(nkeys.from_seed(seed.encode()).public_key).decode()


def make(folder: Path = FOLDER) -> None:
    """Write what is missing into `folder`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords, public = {}, {}
    for user in (*USERS, ADMIN):
        passwords[user] = _kept(folder / f"{user}.password", secrets.token_urlsafe(PASSWORD_BYTES))
        seed = _kept(folder / f"{user}.nkey", new_seed())
        public[nkey_variable(user)] = public_key(seed)
        if user == OUTSIDER:
            signing_in = SIGN_IN.format(user=user, password=passwords[user], nkey=seed)
            _write(folder / f"{user}.env", signing_in)
    admin = passwords.pop(ADMIN)
    _write(folder / "kafka_jaas.conf", JAAS.format(password=admin))
    _write(folder / "passwords.json", json.dumps(passwords, indent=1))
    _write(folder / "nats.env", "".join(f"{name}={key}\n" for name, key in public.items()))


def _kept(path: Path, new: str) -> str:
    if not path.exists():
        _write(path, new)
    return path.read_text()


def _write(path: Path, text: str) -> None:
    if path.exists():
        path.chmod(0o644)
    path.write_text(text)
    path.chmod(0o444)


if __name__ == "__main__":
    make()
