"""A run as people read it: who started, crashed, claimed, led, and decided what, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from folkmoot.bus.ports import Stored
from folkmoot.contracts.codec import decode_events
from folkmoot.testing.simulation.evidence import Evidence, ShardEvidence
from folkmoot.testing.simulation.rule import Ruling
from folkmoot.testing.simulation.world import World

DATA_CHARS_MAX = 160


def transcript(world: World, evidence: Evidence) -> str:
    """Return what happened, one line for each event, by true time."""
    lines = [(at, n, text) for n, (at, text) in enumerate(world.story)]
    logs = {(shard.name.log, shard.name.partition): shard for shard in evidence.shards.values()}
    for place, partition in world.broker.partitions.items():
        shard = logs.get(place)
        landed = zip(partition.records, partition.landed_at, partition.writers, strict=True)
        for stored, at, writer in landed:
            said = _log(shard, stored) if shard else _message(stored, place[0])
            text = f"{place[0]}/{place[1]} @{stored.offset} by {writer}: {said}"
            lines.append((at, len(lines), text))
    return "\n".join(f"{at:9.4f}  {text}" for at, _, text in sorted(lines))


def _log(shard: ShardEvidence, stored: Stored) -> str:
    control, ruling = shard.controls[stored.offset], shard.rulings[stored.offset]
    verdict = "" if ruling.counts else ", which does not count"
    return " ".join(_parts(control, ruling, stored)) + verdict


def _parts(control: Mapping[str, Any], ruling: Ruling, stored: Stored) -> Iterator[str]:
    kind = control["kind"]
    if kind == "claim":
        yield f"{control['member']} claims, expecting {control['expected']}"
        if ruling.counts:
            yield f"and leads in term {ruling.term}"
        return
    yield f"{kind} of term {control['term']}"
    if kind == "resign":
        yield f"to {control['to']}"
    if kind == "entry":
        yield ", ".join(_event(event) for event in decode_events(stored.value or b"[]"))
    yield from (f"{k}={control[k]}" for k in ("consumed", "marks", "emitted") if k in control)


def _event(event: Mapping[str, Any]) -> str:
    name = event["type"].removeprefix("folkmoot.").rsplit(".", 1)[0]
    return f"{name} {_short(event['data'])}"


def _message(stored: Stored, topic: str) -> str:
    if topic.endswith(".snapshots"):
        return f"part {(stored.key or b'').decode()} of a snapshot"
    headers = dict(stored.headers)
    origin = headers.get("origin", b"").decode()
    mark = headers.get("mark", b"").decode()
    name = headers.get("ce_type", b"").decode().removeprefix("folkmoot.").rsplit(".", 1)[0]
    data = orjson.loads(stored.value).get("data") if stored.value else None
    return f"{name} {_short(data)}" + (f" from {origin} {mark}" if origin else "")


def _short(data: object) -> str:
    text = orjson.dumps(data).decode()
    return text if len(text) <= DATA_CHARS_MAX else text[:DATA_CHARS_MAX] + "…"


def replay_command(seed: int, scope: str | None) -> str:
    """Return the one command that shows a run again."""
    more = f" --scope {scope}" if scope else ""
    return f"folkmoot-sim --seed {seed}{more}"


__all__: Sequence[str] = ["replay_command", "transcript"]
