"""What more shards on more machines would do, computed from what a saga costs here.

The model: a machine for each shard, with its brokers' share. It leads one shard of each service and
stands by for another's, so that what sagas cost, standing by included, is divided by the number of
machines. The index is not: each of two event stores reads all logs, so two machines bear one each.
Twice as many machines serve twice as many sagas in flight.

A machine is a station of some processors in a closed network of queues, solved by exact mean value
analysis (Reiser and Lavenberg, 1980); several processors are one as fast as all, and a delay
(Seidmann, 1987). What no processor is needed for, waiting for acknowledgements, is a delay as well.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.rows import Row, report

LOAD = "Folkmoot: three steps, 64 in flight"
IDLE = "Folkmoot: three steps, 1 in flight"
SHARED = (
    "saga-orchestrator",
    "breaker-proxy",
    "agent-worker",
    "election",
    "client",
    "Kafka",
    "NATS",
)
INDEX = "event-store"
INDEXES = 2
IN_FLIGHT = 64
PROCESSORS = 2
SHARDS = (1, 2, 4)
LOSS_MAX = 0.1


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one saga, in milliseconds: of a processor, of both indexes alone, and of waiting."""

    shared_ms: float
    index_ms: float
    waiting_ms: float


def read_costs(rows: Sequence[Mapping[str, object]]) -> Costs:
    """Return what `make bench-sagas JSON=FILE` has measured.

    Raises:
        KeyError: the rows lack a figure.
    """
    values = {str(row["name"]): float(str(row["value"])) for row in rows}
    shared = sum(values[f"{LOAD}: processor of {part}"] for part in SHARED)
    index = values[f"{LOAD}: processor of {INDEX}"]
    return Costs(shared, index, max(0.0, values[f"{IDLE}: median"] - shared - index))


def demands(costs: Costs, machines: int) -> list[float]:
    """Return the processor milliseconds that a saga needs of each machine, on average."""
    needed = [costs.shared_ms / machines] * machines
    for number in range(INDEXES):
        needed[number % machines] += costs.index_ms / INDEXES
    return needed


def throughput(
    needed: Sequence[float], waiting_ms: float, in_flight: int, processors: int
) -> float:
    """Return the sagas a second of a closed network of such machines."""
    fast = [each / processors for each in needed]
    delay = waiting_ms + sum(each - quick for each, quick in zip(needed, fast, strict=True))
    queued = [0.0] * len(fast)
    per_ms = 0.0
    for sagas in range(1, in_flight + 1):
        stays = [each * (1 + queue) for each, queue in zip(fast, queued, strict=True)]
        per_ms = sagas / (delay + sum(stays))
        queued = [per_ms * stay for stay in stays]
    return per_ms * 1000


def scaled(costs: Costs) -> list[Row]:
    """Return the throughput of each number of shards beside that of one."""
    rows, one = [], 0.0
    for shards in SHARDS:
        needed = demands(costs, shards)
        rate = throughput(needed, costs.waiting_ms, shards * IN_FLIGHT, PROCESSORS)
        one = one or rate
        share = rate / (shards * one)
        goal = f"at least {1 - LOSS_MAX:.0%} of {shards} times one"
        name = f"{shards} shards, a machine for each, by the model"
        rows.append(Row(name, rate, "sagas/s", goal, share >= 1 - LOSS_MAX, f"{share:.0%}"))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path, help="what make bench-sagas JSON=FILE has written")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    options = parser.parse_args(arguments)
    costs = read_costs(json.loads(options.measured.read_text()))
    print(costs)
    report("Folkmoot: shards, by a model", scaled(costs), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
