"""What a leader writes and reads through, opened while it still follows.

Opening is most of what a hand-over would cost otherwise: connections, and asking where things are.
One set serves one term, because an effect that was sent in vain ends the order of those after it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from folkmoot.bus.ports import Appender, Log, Tail
from folkmoot.runtime.seat import ShardName


@dataclass(frozen=True, slots=True)
class Channels:
    """One term's appenders, to the shard's log and for effects, and its inboxes' tails."""

    log: Appender
    effects: Appender
    inboxes: Mapping[str, Tail]

    def fetch(self, consumed: Mapping[str, int]) -> None:
        """Let the inboxes be fetched from where they are consumed."""
        for topic, tail in self.inboxes.items():
            tail.seek(consumed.get(topic, 0))


@asynccontextmanager
async def channels(log: Log, name: ShardName) -> AsyncIterator[Channels]:
    """Open what leading the shard takes, and close it."""
    async with AsyncExitStack() as opened:

        async def appender() -> Appender:
            made = await log.appender()
            opened.push_async_callback(made.close)
            return made

        async def tail(topic: str) -> Tail:
            made = await log.tail(topic, name.partition, 0)
            opened.push_async_callback(made.close)
            return made

        made = Channels(
            await appender(), await appender(), {topic: await tail(topic) for topic in name.inputs}
        )
        await made.log.append(name.log, name.partition, [])
        yield made
