"""How fast a shard notices, how much it takes at once, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations and limits of the replica loop. All members of a shard should use the same."""

    ttl_ms: int = 1500
    """Silence after which a standby claims. Longer than a garbage collection or a busy loop."""

    stagger_ms: int = 60
    """Between the claims of two members by their rank: a few appends, so that one claim wins."""

    batch_inputs_max: int = 500
    """Inputs decided before an append: bounds the time between two looks at the clock."""

    waiting_bytes_max: int = 16 * 1024 * 1024
    """Of inputs read and not yet decided; beyond it an inbox is read no further. Room for a few of
    the largest records, and for a full batch of ordinary ones."""

    pending_effects_max: int = 20_000
    """Effects not yet acknowledged; beyond it the leader takes no more input."""

    drain_ms: int = 5_000
    """How long a stopping leader waits for its effects to be acknowledged."""

    retry_ms: int = 250
    """Before a replica starts over after an error, so that an outage is not a busy loop."""

    commit_every_ms: int = 1_000
    """How often consumption is made visible as group offsets. Only tools look at them."""

    snapshot_every_records: int = 25_000
    """Log records after which a standby writes a snapshot: a quarter of a second to read again."""

    snapshot_every_bytes: int = 32 * 1024 * 1024
    """The same in bytes, where records are large."""

    @property
    def beat_ms(self) -> int:
        """How often an idle leader beats: two may be lost before anybody claims."""
        return self.ttl_ms // 3

    @property
    def tenure_ms(self) -> int:
        """How long a leader leads at least before it hands over to a preferred member."""
        return self.ttl_ms
