"""The third port: a store for values that are too large for a message.

A blob is bytes under the SHA-256 of these bytes. So one that was put twice is there once, a crash
between putting it and recording its name leaves nothing wrong, and who reads it can tell whether it
is what was put. Nothing here is ever changed or deleted; how long blobs are kept is for whoever
owns the store to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from folkmoot.bus.addresses import Embedded
from folkmoot.bus.addresses import parse as parse_bus
from folkmoot.bus.ports import BusError

FORMS = "dir:PATH, s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME], or none"
S3_OPTIONS = {"endpoint", "region"}
BESIDE = ".blobs"
"""What is added to the name of an embedded bus's file for the directory of its blobs."""


class BlobError(BusError):
    """A blob cannot be had, or not be kept. The message says why and what to do."""


class BlobMissing(BlobError):
    """The store has no such blob."""


class BlobSpoilt(BlobError):
    """What the store has under a blob's name is something else."""


class BlobsUnavailable(BlobError):
    """The store cannot be reached now, or refuses. Worth trying again."""


class BlobTooLarge(BlobError):
    """A value is too large for the store as well. Nothing was kept."""


class BadStore(BlobError):
    """A store's address has none of the known forms, or what it needs is not installed."""


class Blobs(Protocol):
    """A store of blobs. `name` is the SHA-256 of a blob in hexadecimal digits."""

    async def put(self, name: str, data: bytes) -> None:
        """Return when the blob is durable. Putting it again renews its age.

        Raises:
            BlobsUnavailable: it may or may not have been kept.
        """
        ...

    async def get(self, name: str, size: int) -> bytes:
        """Return a blob of `size` bytes; whether they are the right ones is the caller's to check.

        Raises:
            BlobMissing: there is none.
            BlobSpoilt: it has another size.
            BlobsUnavailable: the store cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that all who work on the bus can reach."""

    path: Path


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of an S3-compatible store; its credentials are those of AWS's own variables."""

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""


def parse(address: str, bus: str) -> Directory | Bucket | None:
    """Return the store that `address` names; with an empty one, what fits the bus at `bus`.

    An embedded bus has a directory beside its file. Brokers have nothing of the kind: None.

    Raises:
        BadStore: with a sentence that lists the forms.
    """
    if address in ("", "none"):
        return None if address else _beside(bus)
    scheme, _, rest = address.partition(":")
    if scheme == "dir" and rest:
        return Directory(Path(rest).expanduser().resolve())
    if scheme == "s3":
        return _bucket(address)
    raise _bad(address, "it has none of the known forms")


def _beside(bus: str) -> Directory | None:
    place = parse_bus(bus) if bus.startswith("embedded:") else None
    if not isinstance(place, Embedded):
        return None
    return Directory(place.path.with_name(place.path.name + BESIDE))


def _bucket(address: str) -> Bucket:
    parts = urlsplit(address)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if not parts.hostname or parts.username or not options.keys() <= S3_OPTIONS:
        raise _bad(address, "it is no s3://BUCKET, or has unknown options")
    return Bucket(parts.netloc, parts.path.strip("/"), **options)


def _bad(address: str, why: str) -> BadStore:
    shown = address.partition("@")[2] or address  # whatever stands before an @ may be a secret
    return BadStore(f"Blob store {shown!r} cannot be used: {why}. Write {FORMS}.")


def open_blobs(place: Directory | Bucket) -> Blobs:
    """Return a store. Nothing is contacted before it is used.

    Raises:
        BadStore: what it needs is not installed.
    """
    if isinstance(place, Directory):
        from folkmoot.bus.directory import DirectoryBlobs

        return DirectoryBlobs(place.path)
    try:
        from folkmoot.bus.s3 import S3Blobs
    except ModuleNotFoundError as error:
        raise BadStore(
            f"Blob store s3://{place.name} needs {error.name}: install folkmoot[s3]."
        ) from error
    return S3Blobs(place)
