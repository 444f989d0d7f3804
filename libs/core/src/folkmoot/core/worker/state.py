"""The state of a worker's shard: the calls that have not ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from folkmoot.core.messages import Call, Json


@dataclass(slots=True)
class OpenCall:
    """A call between acceptance and end. `run` is 0 while it waits for its turn.

    `asked` are its open questions, since `waiting_since` if there are any. `waited_ms`, for how
    long it had waited for answers until then, is no part of its time. `shift_ms` is what to add to
    the times of `call` to have them by this shard's clock.
    """

    call: Call
    run: int = 0
    started_at: int = 0
    progressed_at: int = 0
    waited_ms: int = 0
    waiting_since: int = 0
    asked: dict[str, None] = field(default_factory=dict)
    journal: dict[str, Json] = field(default_factory=dict)
    stop_requested: bool = False
    shift_ms: int = 0

    def deadline_at(self, now: int) -> int:
        """Return when it must end, as it stands now; later while it waits for an answer."""
        waiting_ms = now - self.waiting_since if self.asked else 0
        return self.call.deadline_at + self.shift_ms + self.waited_ms + max(0, waiting_ms)

    def is_past_start(self, now: int) -> bool:
        """Whether it may not begin any more, if it has not yet."""
        return 0 < self.call.start_by <= now - self.shift_ms


@dataclass(slots=True)
class WorkerState:
    """`calls` holds all open calls by id, `waiting` the ids of those not yet started, in order.

    `asking` of those `running` wait for an answer, and take nobody's place meanwhile.
    An id in `waiting` may have ended since, except for the first: if there is any, it waits.
    """

    calls: dict[str, OpenCall] = field(default_factory=dict)
    waiting: deque[str] = field(default_factory=deque)
    running: int = 0
    asking: int = 0
    ended: int = 0

    def waiting_calls(self) -> Iterator[OpenCall]:
        """Yield the calls that wait for their turn, the longest waiting first."""
        for call_id in self.waiting:
            if (open_call := self.calls.get(call_id)) is not None and open_call.run == 0:
                yield open_call

    def trim_waiting(self) -> None:
        """Drop from the front of `waiting` what no longer waits."""
        while self.waiting:
            first = self.calls.get(self.waiting[0])
            if first is not None and first.run == 0:
                return
            self.waiting.popleft()
