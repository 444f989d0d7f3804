"""The forms of a bus address, and nothing else: parsing contacts nobody.

A bus is either one embedded file or a pair of brokers; the address says which, so that no other
setting has to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from folkmoot.bus.ports import BusError

FORMS = (
    "embedded:PATH, or kafka://HOST:PORT[,HOST:PORT...]?nats=nats://HOST:PORT, "
    "or kafka://HOST:PORT,nats://HOST:PORT"
)
NATS_SCHEMES = ("nats", "tls", "ws", "wss")


class BadAddress(BusError):
    """A bus address has none of the known forms."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One SQLite file, with gossip inside the process."""

    path: Path


@dataclass(frozen=True, slots=True)
class Brokers:
    """Kafka for the log, NATS for the gossip. `kafka` holds HOST:PORT, `nats` whole URLs."""

    kafka: tuple[str, ...]
    nats: tuple[str, ...]


def parse(address: str) -> Embedded | Brokers:
    """Return what `address` names.

    Raises:
        BadAddress: with a sentence that lists the forms.
    """
    scheme, _, rest = address.partition(":")
    if scheme == "embedded" and rest:
        return Embedded(Path(rest).expanduser().resolve())
    if scheme == "kafka" and rest.startswith("//"):
        return _brokers(address)
    raise _bad(address, "it has none of the known forms")


def _brokers(address: str) -> Brokers:
    hosts, _, query = address.partition("?")
    kafka: list[str] = []
    nats = [url for value in parse_qs(query).get("nats", []) for url in value.split(",")]
    for part in hosts.split(","):
        if "://" in part and not part.startswith("kafka://"):
            nats.append(part)
        else:
            kafka.append(part.removeprefix("kafka://"))
    for host in kafka:
        _check_host(address, f"kafka://{host}", ("kafka",))
    for url in nats:
        _check_host(address, url, NATS_SCHEMES)
    if not nats:
        raise _bad(address, "it names no NATS server")
    return Brokers(tuple(kafka), tuple(nats))


def _check_host(address: str, url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        complete = parts.scheme in schemes and parts.hostname and parts.port
    except ValueError:
        complete = False
    if not complete:
        raise _bad(address, f"{without_secrets(url)!r} is not {'|'.join(schemes)}://HOST:PORT")


def _bad(address: str, why: str) -> BadAddress:
    shown = without_secrets(address)
    return BadAddress(f"Bus address {shown!r} cannot be used: {why}. Write {FORMS}.")


def without_secrets(address: str) -> str:
    """Return `address` fit for a message: user names and passwords cut out."""
    return re.sub(r"://[^@/,]*@", "://", address)
