"""In what order those who wait are served: each tenant gets its share, and nobody starves.

Start-time fair queueing (Goyal, Vin and Cheng, 1996) over flows, a flow being what a tenant has
waiting of one priority. Who comes is given a turn: one stride after the last of its flow, but not
before the turn that is being served. The lowest turn is next. A flow that sends more only makes
itself wait; strides of a high priority are short, so that it has more turns in the same time.

Invariants:

- Those of one flow are served in the order in which they came.
- Flows that wait all the time are served in proportion to the weights of their priorities.
- To join or leave costs the logarithm of who waits; nothing is kept of a flow once nobody does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from folkmoot.core.deadlines import Deadlines
from folkmoot.core.shares import DEFAULT_SHARE, Priority, Share

STRIDES: Mapping[Priority, int] = {"high": 1, "normal": 4, "low": 16}
"""A turn of a low priority is worth four of a normal one, and that four of a high one."""

_FLOWS_SLACK = 64
"""Flows of which nobody waits that are kept beyond one for each who does."""


@dataclass(slots=True)
class Turns:
    """The turns of those who wait, by their key. `served` is the latest turn that was served."""

    at: Deadlines = field(default_factory=Deadlines)
    served: int = 0
    flows: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.at)

    def __iter__(self) -> Iterator[str]:
        """Yield who waits, whose turn is next first; costs a logarithm for each taken."""
        return self.at.in_order()

    def join(self, key: str, share: Share | None) -> None:
        """Let `key` wait."""
        share = share or DEFAULT_SHARE
        flow = f"{share.priority}/{share.tenant}"
        turn = max(self.served, self.flows.get(flow, 0)) + STRIDES[share.priority]
        self.at.set(key, turn)
        self.flows[flow] = turn
        if len(self.flows) > 2 * len(self.at) + _FLOWS_SLACK:
            self.flows = {name: at for name, at in self.flows.items() if at > self.served}

    def leave(self, key: str, *, served: bool) -> None:
        """Let `key` wait no more, because it is `served` or not."""
        if served:
            self.served = max(self.served, self.at.get(key) or 0)
        self.at.drop(key)
        if not self.at:
            self.served = 0
            self.flows.clear()

    def ahead_of(self, key: str) -> int:
        """Return how many have their turn before `key`, which waits. Looks at all of these."""
        return next(number for number, each in enumerate(self) if each == key)
