"""A shard as of one offset of its log, and a shard again from that.

A snapshot holds everything that `Shard.observe` would have made of the records before `upto`, and
nothing that only its member knows. So it is the same whoever takes it, and a shard that is
restored from it goes on as one that has read the whole log (I8).

It is a cache of the log: never the only place where anything stands, and passed over when in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Generic

from folkmoot.core.kernel.leadership import Leadership
from folkmoot.core.kernel.machine import Machine, S
from folkmoot.core.kernel.records import Mark
from folkmoot.core.kernel.shard import Pending, Shard


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[S]):
    """What the records before the offset `upto` say. `state` is the shard's own, not a copy."""

    upto: int
    at: int
    leadership: Leadership
    consumed: Mapping[str, int]
    marks: Mapping[str, Mark]
    emitted: int
    pending: tuple[Pending, ...]
    state: S


def take(shard: Shard[S]) -> Snapshot[S]:
    """Return a snapshot, good for as long as the shard takes nothing in.

    The shard must be `as_logged`: a leader's is ahead of its log.
    """
    assert shard.as_logged, "a leader's state is ahead of its log"
    return Snapshot(
        shard.next_offset,
        shard.at,
        replace(shard.leadership),
        dict(shard.consumed),
        dict(shard.marks),
        shard.emitted,
        tuple(shard.pending),
        shard.state,
    )


def restored(snapshot: Snapshot[S], machine: Machine[S], member: str) -> Shard[S]:
    """Return the shard of `member` that has read the log up to the snapshot, whose state it takes.

    It is to go on with the record at `snapshot.upto`.
    """
    shard: Shard[S] = Shard(machine, member)
    shard.state = snapshot.state
    shard.leadership = replace(snapshot.leadership)
    shard.next_offset, shard.at = snapshot.upto, snapshot.at
    shard.consumed.update(snapshot.consumed)
    shard.marks.update(snapshot.marks)
    shard.pending.extend(snapshot.pending)
    shard.resume_emitting(snapshot.emitted)
    return shard
