"""Which worker partition takes a call: the least loaded, in turn, not where it failed before."""

from __future__ import annotations

from collections.abc import Iterable

from folkmoot.core.breaker.state import Target
from folkmoot.core.messages import Call


class Room:
    """The room at a target's workers, which a decision uses up in thought before in fact."""

    def __init__(self, target: Target, partitions: int, limit: int, freed: Iterable[int]) -> None:
        """Begin with the calls in flight, less one for each partition in `freed`."""
        self._routes, self._turn = target.routes, target.turn
        self._failed, self._members = target.failed, target.members
        self._partitions, self._limit = partitions, limit
        self._loads = [*target.loads, *[0] * (partitions - len(target.loads))]
        for partition in freed:
            self._loads[partition] -= 1

    def take(self, call: Call) -> int | None:
        """Return the partition for `call`, None if there is no room.

        Among the least loaded the next in turn is taken. Where an earlier attempt of the same
        thing went, and to members at whom one has failed, it goes only if no other has room:
        better to try there again than to wait.
        """
        avoid = self._routes.get(call.idempotency_key)
        in_turn = ((self._turn + step) % self._partitions for step in range(self._partitions))
        with_room = [partition for partition in in_turn if self._loads[partition] < self._limit]
        others = [partition for partition in with_room if partition != avoid] or with_room
        if failed := self._failed.get(call.idempotency_key):
            others = [each for each in others if self._member_of(each) not in failed] or others
        if not others:
            return None
        partition = min(others, key=self._loads.__getitem__)
        self._loads[partition] += 1
        self._turn = partition + 1
        return partition

    def _member_of(self, partition: int) -> str | None:
        return self._members.get(str(partition))
