"""Blobs in a bucket of an S3-compatible store, through obstore."""

from __future__ import annotations

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from folkmoot.bus.blobs import BlobMissing, BlobSpoilt, BlobsUnavailable, Bucket

TIMEOUT = "30s"
"""For one request: what a blob of the largest size takes on a slow line."""

RETRIES_MAX = 3
"""Of a request that failed on its way; after that, whoever wants the blob decides."""

FAILURES = (BaseError, OSError)
"""What obstore raises; what is not there is Python's own `FileNotFoundError`."""

NO_BUCKET = "NoSuchBucket"
"""S3's word for it: then it is not a blob that is missing."""


class S3Blobs:
    """The adapter for a bucket.

    Who signs in is found as AWS's own tools find it: `AWS_ACCESS_KEY_ID` and
    `AWS_SECRET_ACCESS_KEY`, a web identity, or the role of the machine.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._shown = f"s3://{bucket.name}/{bucket.prefix}".rstrip("/")
        named = {"endpoint": bucket.endpoint, "region": bucket.region}
        self._store = S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            config={name: value for name, value in named.items() if value},  # type: ignore[arg-type]
            client_options={
                "allow_http": bucket.endpoint.startswith("http://"),
                "timeout": TIMEOUT,
            },
            retry_config={"max_retries": RETRIES_MAX},
        )

    async def put(self, name: str, data: bytes) -> None:
        """See `Blobs`."""
        try:
            await obstore.put_async(self._store, name, data)
        except FAILURES as error:
            raise BlobsUnavailable(
                f"{self._shown} does not keep blob {name}: {_first_line(error)}"
            ) from error

    async def get(self, name: str, size: int) -> bytes:
        """See `Blobs`."""
        try:
            found = await obstore.get_async(self._store, name)
            if (there := found.meta["size"]) != size:
                raise BlobSpoilt(
                    f"blob {name} of {self._shown} has {there:,} bytes, and not {size:,}: "
                    "it was damaged"
                )
            return (await found.bytes_async()).to_bytes()
        except FAILURES as error:
            if isinstance(error, FileNotFoundError) and NO_BUCKET not in str(error):
                raise BlobMissing(
                    f"{self._shown} has no blob {name}: it was put elsewhere, or deleted since"
                ) from None
            raise BlobsUnavailable(
                f"{self._shown} does not give blob {name}: {_first_line(error)}"
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
