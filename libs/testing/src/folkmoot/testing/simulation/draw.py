"""What a seed draws before its world begins: how large it is, how it is tuned, how long it runs."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

Scope = Literal["relay", "mesh"]

MESH_SHARE = 0.12
"""Of all seeds. A mesh costs three times what a pair of relay shards does."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The size and tuning of one world."""

    seed: int
    scope: Scope
    ttl_ms: int
    duration_s: float
    faults: int
    acquainted: bool
    """Whether replicas know of each other, so that shards have preferred leaders."""
    batch_inputs_max: int
    pending_effects_max: int
    inputs_per_s: float
    clocks_agree: bool
    """Whether wall clocks are right."""
    poison: bool
    """Whether deciding some inputs breaks, which ends the term of who tries."""
    snapshot_every: int
    """Log records after which a shard gets a snapshot."""
    mixed: bool
    """Whether some incarnations of members are of an older version than the others."""
    at_once: int = 0
    """Steps that may be with workers at a time, by a limit of their agent; 0 is none."""
    starts: int = 0
    """Steps that may begin in a period, by that limit; 0 is any number."""
    sagas_at_once: int = 0
    """Sagas that may have begun and not ended; 0 is any number."""
    nested: bool = False
    """Whether some steps are sagas, and some sagas are paused for a while."""


def draw(seed: int, scope: Scope | None = None) -> tuple[Draw, Random]:
    """Return the draw of `seed`, and the randomness that is left for what happens."""
    random = Random(seed)  # noqa: S311, nothing here is secret
    of_sagas = Random(f"{seed}/sagas")  # noqa: S311, so that they change no other draw
    chosen: Scope = "mesh" if random.random() < MESH_SHARE else "relay"
    drawn = Draw(
        seed=seed,
        scope=scope or chosen,
        ttl_ms=random.choice((200, 300, 600)),
        duration_s=random.uniform(1.0, 3.0),
        faults=random.randint(0, 12),
        acquainted=random.random() < 0.4,
        batch_inputs_max=random.choice((1, 3, 500)),
        pending_effects_max=random.choice((0, 3, 20_000)),
        inputs_per_s=random.choice((2.0, 8.0, 25.0)),
        clocks_agree=random.random() < 0.4,
        poison=random.random() < 0.2,
        snapshot_every=random.choice((5, 20, 60, 25_000)),
        mixed=random.random() < 0.2,
        at_once=of_sagas.choice((0, 0, 1, 2)),
        starts=of_sagas.choice((0, 0, 0, 3)),
        sagas_at_once=of_sagas.choice((0, 0, 1, 3)),
        nested=of_sagas.random() < 0.5,
    )
    return drawn, random
