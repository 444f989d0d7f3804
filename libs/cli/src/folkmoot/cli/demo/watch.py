"""Follows every log of a bus and folds what happened into a view, as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from folkmoot.bus.ports import Bus
from folkmoot.cli.demo.view import View
from folkmoot.runtime.reader import Accepted, follow

DISCOVER_EVERY_S = 0.2
ENTRIES_KEPT_MAX = 200_000
"""Entries kept until the saga is known: what a demo's file can hold, many times over."""


class Watcher:
    """Keeps a view up to date until it is cancelled.

    Entries that were read before the saga's id was known are folded in when it is, so that
    nothing is missed whichever comes first.
    """

    def __init__(self, bus: Bus, view: View, on_change: Callable[[], None]) -> None:
        self._bus, self._view, self._on_change = bus, view, on_change
        self._followed: set[tuple[str, int]] = set()
        self._early: list[Accepted] = []

    def watch(self, saga_id: str) -> None:
        """The saga to show is this one."""
        self._view.saga_id = saga_id
        early, self._early = sorted(self._early, key=lambda entry: entry.at), []
        self._fold(early)

    async def run(self) -> None:
        """Follow all logs, those that appear later included."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for topic, partitions in (await self._bus.log.topics()).items():
                    for log in ((topic, number) for number in range(partitions)):
                        if _is_log(topic) and log not in self._followed:
                            self._followed.add(log)
                            tasks.create_task(self._follow(*log))
                await asyncio.sleep(DISCOVER_EVERY_S)

    async def _follow(self, topic: str, partition: int) -> None:
        async for entries in follow(self._bus, topic, partition):
            if self._view.saga_id is None:
                self._early += entries[: ENTRIES_KEPT_MAX - len(self._early)]
            elif entries:
                self._fold(entries)

    def _fold(self, entries: list[Accepted]) -> None:
        for entry in entries:
            for event in entry.events():
                self._view.take(entry.offset, entry.at, event)
        self._on_change()


def _is_log(topic: str) -> bool:
    return topic.startswith("folkmoot.") and topic.endswith(".log")
