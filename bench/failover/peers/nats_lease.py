"""A lease in a NATS key-value bucket: created or updated by revision, renewed three times a ttl.

    python -m bench.failover.peers.nats_lease URL BUCKET MEMBER TTL_S followers|server

With `followers`, each follower watches the key and takes the lease, by compare-and-swap on the
last revision, when it has seen no renewal for a ttl. With `server`, the bucket's own ttl removes
the key, and followers wait for the marker that the server then leaves.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import nats
from nats.errors import TimeoutError as NothingSeen
from nats.js.api import KeyValueConfig
from nats.js.errors import APIError, BadRequestError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from bench.failover.peers.contender import Orders, say, say_leading

KEY = "leader"
FOR_EVER_S = 3600.0
MARKER_S = 60.0


@dataclass
class Contender:
    """One that follows until it leads, and leads until it is told to resign."""

    bucket: KeyValue
    member: bytes
    ttl_s: float
    patience_s: float
    orders: Orders
    revision: int = 0

    async def run(self) -> None:
        """Contend for ever."""
        watcher = await self.bucket.watch(KEY)
        say("ready")
        waits_for_another = False
        while True:
            vacant = await self._vacant(watcher)
            if vacant is None:
                waits_for_another = False
            elif vacant and not waits_for_another and await self._take():
                say_leading()
                await self._lead()
                waits_for_another = True

    async def _vacant(self, watcher: KeyValue.KeyWatcher) -> bool | None:
        """Return whether nobody leads; None when another was heard of."""
        try:
            entry = await watcher.updates(timeout=self.patience_s)  # type: ignore[no-untyped-call]
        except NothingSeen:
            return True
        if entry is None:  # what there was before has been shown
            return self.revision == 0
        if entry.revision is None or entry.revision <= self.revision:
            return False
        self.revision = entry.revision
        if entry.value == self.member:
            return False
        return None if entry.value else True

    async def _take(self) -> bool:
        try:
            self.revision = await self.bucket.update(KEY, self.member, last=self.revision)
        except (APIError, BadRequestError, KeyWrongLastSequenceError):
            return False
        return True

    async def _lead(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self.ttl_s / 3):
                    await self.orders.resign.wait()
            except TimeoutError:
                self.revision = await self.bucket.update(KEY, self.member, last=self.revision)
                continue
            self.orders.resign.clear()
            await self.bucket.delete(KEY, last=self.revision)
            self.revision += 1
            return


async def main(url: str, bucket: str, member: str, ttl: str, who_times: str) -> None:
    """Open the bucket, which every contender makes alike, and contend."""
    connection = await nats.connect(url)
    ttl_s, by_server = float(ttl), who_times == "server"
    config = KeyValueConfig(bucket)
    if by_server:
        config = KeyValueConfig(bucket, ttl=ttl_s, limit_marker_ttl=MARKER_S)
    opened = await connection.jetstream().create_key_value(config)
    patience_s = FOR_EVER_S if by_server else ttl_s
    await Contender(opened, member.encode(), ttl_s, patience_s, Orders()).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
