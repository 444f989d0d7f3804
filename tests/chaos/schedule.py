"""What goes wrong, and when: drawn from a seed, so that a run can be had again.

The cards of a deck are the kinds of fault, once for each whom they can hit. The deck is shuffled,
dealt to its end and shuffled again, so that every kind comes as early and as often as time allows.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "kill", "restart", "pause", "cut", "deafen", "slow", "kill-node", "kill-all-nodes", "kill-nats"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
Role = Literal["leader", "standby", ""]

TTL_MS = 1_500
PAUSE_TTLS = (0.1, 5.0)
SLOW_S = (0.02, 0.4)
LASTS_S: dict[Kind, tuple[float, float]] = {
    "kill": (0.2, 3.0),
    "restart": (0.0, 1.0),
    "pause": (PAUSE_TTLS[0] * TTL_MS / 1000, PAUSE_TTLS[1] * TTL_MS / 1000),
    "cut": (0.2, 4.0),
    "deafen": (0.5, 8.0),
    "slow": (2.0, 6.0),
    "kill-node": (1.0, 6.0),
    "kill-all-nodes": (0.5, 3.0),
    "kill-nats": (0.5, 6.0),
}
"""How long each lasts. What is killed or stopped is started again when it is over."""

WORKER = "agent-worker"
SERVICES = ("election", "event-store", "saga-orchestrator", "breaker-proxy", WORKER)
Card = tuple[Kind, str, Role]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, `at_s` after the beginning.

    `whom` is a service, and `role` what its process is to be doing; `shard` draws among those whom
    it could be, and which partition's leader a node is to be.
    """

    at_s: float
    kind: Kind
    whom: str
    role: Role
    lasts_s: float
    delay_s: float
    shard: int

    def __str__(self) -> str:
        delay = f" by {self.delay_s * 1000:.0f} ms" if self.delay_s else ""
        whom = " ".join(word for word in (self.whom, self.role) if word)
        return f"{self.at_s:7.2f} s  {self.kind:<14} {whom:<26} for {self.lasts_s:.2f} s{delay}"


def deck(nodes: int) -> list[Card]:
    """Return the cards for a cluster of so many nodes."""
    cards: list[Card] = []
    for service in SERVICES:
        hits: list[Card] = [
            ("kill", service, "leader"),
            ("kill", service, "standby"),
            ("pause", service, "leader"),
            ("pause", service, "standby"),
        ]
        cards += hits * (2 if service == WORKER else 1)  # its zombies act on the world
        cards.append(("restart", service, "leader"))
        cards += [("cut", service, ""), ("deafen", service, ""), ("slow", service, "")]
        if nodes > 1:
            cards.append(("kill-node", service, ""))
    return [*cards, ("kill-nats", "", ""), ("kill-all-nodes", "", "")]


def schedule(
    seed: int, seconds: float, nodes: int, every_s: float, only: Collection[Kind] = KINDS
) -> Sequence[Fault]:
    """Return the faults of a run, one each `every_s` on average, `only` of some kinds if given."""
    drawn = random.Random(seed)
    faults: list[Fault] = []
    at_s = drawn.uniform(0.0, every_s)
    for kind, whom, role in _dealt(drawn, [card for card in deck(nodes) if card[0] in only]):
        if at_s >= seconds:
            return faults
        delay_s = drawn.uniform(*SLOW_S) if kind == "slow" else 0.0
        lasts_s, shard = drawn.uniform(*LASTS_S[kind]), drawn.randrange(1_000)
        faults.append(Fault(at_s, kind, whom, role, lasts_s, delay_s, shard))
        at_s += drawn.uniform(0.5, 1.5) * every_s
    return faults


def _dealt(drawn: random.Random, cards: list[Card]) -> Iterator[Card]:
    while cards:
        drawn.shuffle(cards)
        yield from cards
