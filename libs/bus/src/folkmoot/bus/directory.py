"""Blobs in a directory: a file each, there whole or not at all."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from folkmoot.bus.blobs import BlobMissing, BlobSpoilt, BlobsUnavailable


class DirectoryBlobs:
    """The adapter for a directory, which is made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def put(self, name: str, data: bytes) -> None:
        """See `Blobs`."""
        try:
            await asyncio.to_thread(_write, self._file(name), data)
        except OSError as error:
            raise BlobsUnavailable(
                f"Blob {name} cannot be kept in {self._path}: {error}"
            ) from error

    async def get(self, name: str, size: int) -> bytes:
        """See `Blobs`."""
        try:
            return await asyncio.to_thread(_read, self._file(name), size)
        except FileNotFoundError:
            raise BlobMissing(
                f"{self._path} has no blob {name}: it was put elsewhere, or deleted since"
            ) from None
        except OSError as error:
            raise BlobsUnavailable(f"Blob {name} cannot be read: {error}") from error

    def _file(self, name: str) -> Path:
        return self._path / name[:2] / name


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    being_written = file.with_name(f"{file.name}.{os.urandom(6).hex()}")
    try:
        with being_written.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        being_written.replace(file)
    finally:
        being_written.unlink(missing_ok=True)
    _sync(file.parent)


def _sync(folder: Path) -> None:
    """Let a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(file: Path, size: int) -> bytes:
    with file.open("rb") as found:
        if (there := os.fstat(found.fileno()).st_size) != size:
            raise BlobSpoilt(f"{file} has {there:,} bytes, and not {size:,}: it was damaged")
        return found.read()
