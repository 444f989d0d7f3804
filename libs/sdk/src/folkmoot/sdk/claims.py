"""Claim checks: values too large for the log go to a blob store, and the log says where they are.

A claim stands where the value was, `{"folkmoot.claim": {"sha256": …, "bytes": …}}`, and is put into
a message only when its blob is durable. Whoever handles the value gets the value, checked against
the claim; the machines in between carry the claim and never look at it.

Of a large object or list the largest members go first, so that what conditions and `each` look at
stays in the log where it can. The log never says which store: all who work on a bus have the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import orjson

from folkmoot.bus.blobs import BlobError, BlobSpoilt, BlobTooLarge, open_blobs, parse
from folkmoot.core.messages import Json
from folkmoot.runtime.settings import BlobSettings

CLAIM = "folkmoot.claim"
CLAIM_FIELDS = {"sha256", "bytes"}
SHA256_DIGITS = 64
WORTH_BYTES = 1024
"""Members below this stay with what they are part of: a claim is a request and 120 bytes."""

AT_ONCE = 8
"""Blobs that one value puts or gets side by side."""


class NoBlobStore(BlobError):
    """There is a claim, and no store to take it to."""


class Claims:
    """The claims of one process, on one store; by default on none."""

    def __init__(self, settings: BlobSettings | None = None, bus: str = "") -> None:
        self._settings = settings or BlobSettings(blobs="none")
        place = parse(self._settings.blobs, bus)
        self._blobs = None if place is None else open_blobs(place)
        self._at_once = asyncio.Semaphore(AT_ONCE)

    @classmethod
    def on(cls, bus: str) -> Claims:
        """Return those of a process that works on the bus at this address, as its settings say.

        Raises:
            BadStore: the store cannot be used.
        """
        return cls(BlobSettings(), bus)

    async def packed(self, value: Json, size: int | None = None) -> Json:
        """Return `value` as it goes into the log: itself, or with claims for what is too large.

        `size` is how many bytes it has as JSON, if that is known.

        Raises:
            BlobsUnavailable: the store did not take it.
            BlobTooLarge: a part of it is over the limit of the store too.
        """
        limit = self._settings.blobs_from_bytes
        if self._blobs is None:
            return value
        if size is None:
            size = len(orjson.dumps(value))
        if size <= limit:
            return value
        members = _members(value)
        chosen = _largest(members, size - limit)
        if not chosen:
            return await self._claim(value)
        claims = await asyncio.gather(*(self._claim(members[key]) for key in chosen))
        return _replaced(value, dict(zip(chosen, claims, strict=True)))

    async def packed_plan(self, plan: Json) -> Json:
        """Return a plan with claims for the large inputs of its steps."""
        steps = plan.get("steps", ()) if isinstance(plan, dict) else ()
        for step in steps:
            step["input"] = await self.packed(step["input"])
        return plan

    async def _claim(self, value: Json) -> Json:
        data = orjson.dumps(value)
        if len(data) > (most := self._settings.blob_bytes_max):
            raise BlobTooLarge(
                f"a value has {len(data):,} bytes, the limit of a blob is {most:,}: keep it "
                "elsewhere yourself and pass a reference, or set FOLKMOOT_BLOB_BYTES_MAX"
            )
        assert self._blobs is not None
        name = await asyncio.to_thread(_digest, data)
        async with self._at_once:
            await self._blobs.put(name, data)
        return {CLAIM: {"sha256": name, "bytes": len(data)}}

    async def resolved(self, value: Json) -> Json:
        """Return `value` with what its claims stand for; itself if it has none.

        Raises:
            BlobMissing: the store does not have one of them.
            BlobSpoilt: it has something else under its name.
            BlobsUnavailable: the store cannot be reached.
            BlobTooLarge: one of them says to be larger than any may be.
            NoBlobStore: none is configured here.
        """
        claims = {(claim["sha256"], claim["bytes"]) for claim in _claims(value)}
        if not claims:
            return value
        found = await asyncio.gather(*(self._fetched(*claim) for claim in claims))
        return _with(value, dict(zip((name for name, _ in claims), found, strict=True)))

    async def _fetched(self, name: str, size: int) -> Json:
        if self._blobs is None:
            raise NoBlobStore(
                f"blob {name} is in a store, and none is configured here: set FOLKMOOT_BLOBS to "
                "the one that it was put into"
            )
        if size > (most := self._settings.blob_bytes_max):
            raise BlobTooLarge(f"blob {name} has {size:,} bytes, the limit is {most:,}")
        async with self._at_once:
            data = await self._blobs.get(name, size)
        if await asyncio.to_thread(_digest, data) != name:
            raise BlobSpoilt(f"blob {name} is not what was put: its hash is another one")
        return orjson.loads(data)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _members(value: Json) -> dict[Any, Json]:
    if isinstance(value, dict):
        return value
    return dict(enumerate(value)) if isinstance(value, list) else {}


def _largest(members: dict[Any, Json], excess: int) -> list[Any]:
    """Return the keys of the largest members that together exceed so much; none if none do."""
    sizes = {key: len(orjson.dumps(member)) for key, member in members.items()}
    chosen: list[Any] = []
    for key in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if excess <= 0 or sizes[key] < WORTH_BYTES:
            break
        chosen.append(key)
        excess -= sizes[key]
    return chosen if excess <= 0 else []


def _replaced(value: Json, claims: dict[Any, Json]) -> Json:
    if isinstance(value, dict):
        return value | claims
    return [claims.get(number, member) for number, member in enumerate(value)]


def _is_claim(value: dict[str, Json]) -> bool:
    claim = value.get(CLAIM)
    return (
        len(value) == 1
        and isinstance(claim, dict)
        and claim.keys() == CLAIM_FIELDS
        and isinstance(claim["sha256"], str)
        and len(claim["sha256"]) == SHA256_DIGITS
        and set(claim["sha256"]) <= set("0123456789abcdef")
        and type(claim["bytes"]) is int
    )


def _claims(value: Json) -> Iterator[dict[str, Any]]:
    """Yield the claims anywhere in a value."""
    seen = [value]
    while seen:
        each = seen.pop()
        if isinstance(each, dict):
            if CLAIM in each and _is_claim(each):
                yield each[CLAIM]
            else:
                seen += each.values()
        elif isinstance(each, list):
            seen += each


def _with(value: Json, blobs: dict[str, Json]) -> Json:
    """Return a value with blobs, by name, in place of their claims."""
    if isinstance(value, dict):
        if _is_claim(value):
            return blobs[value[CLAIM]["sha256"]]
        return {name: _with(member, blobs) for name, member in value.items()}
    return [_with(member, blobs) for member in value] if isinstance(value, list) else value
