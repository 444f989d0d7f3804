"""How a process signs in to the brokers, and whom it takes for them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from folkmoot.bus.ports import BusError
from folkmoot.contracts.access import inbox_prefix

Mechanism = Literal["SCRAM-SHA-512", "PLAIN"]


class BadCredentials(BusError):
    """What was given to sign in with cannot be used."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One user of both brokers; without a user nobody signs in, without a CA nothing is encrypted.

    `password` is Kafka's, by SCRAM, or by PLAIN where an administrator has to sign in before any
    user is known; `nkey` is the seed with which NATS's challenge is signed, and
    never leaves this process. `ca` is a file with the certificates that the brokers' are checked
    against, their host names included.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    nkey: str = field(default="", repr=False)
    ca: Path | None = None
    mechanism: Mechanism = "SCRAM-SHA-512"

    def kafka(self) -> dict[str, Any]:
        """Return what aiokafka's clients take.

        Raises:
            BadCredentials: the file of the CA cannot be read.
        """
        options: dict[str, Any] = {}
        if self.ca is not None:
            options["ssl_context"] = self._context()
        if self.password:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        protocol = ("SASL_" if self.password else "") + ("SSL" if self.ca else "PLAINTEXT")
        return options | {"security_protocol": protocol}

    def nats(self) -> dict[str, Any]:
        """Return what `NatsGossip.connect` takes.

        Raises:
            BadCredentials: the file of the CA cannot be read.
        """
        options: dict[str, Any] = {}
        if self.user:
            options["inbox_prefix"] = inbox_prefix(self.user)
        if self.nkey:
            options["nkeys_seed_str"] = self.nkey
        if self.ca is not None:
            options["options"] = {"tls": self._context()}
        return options

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise BadCredentials(
                f"{self.ca} holds no certificates ({error}): name a PEM file with those of the "
                "authority that has signed the brokers'."
            ) from error


NOBODY = Credentials()
