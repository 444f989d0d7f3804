"""The reference of all metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from folkmoot.contracts.metrics import OTHERS, REGISTRY, MetricRule

PAGE = "docs/reference/metrics.md"

HEAD = f"""# Metrics

Made by `make artefacts` from `folkmoot.contracts.metrics`, which every scrape is checked against.

Each service tells them on `/metrics` of its health port, when it is asked. Who tells one says how
to add it up: a *process* and a *replica* tell of themselves, so leader and standbys tell the same
term and offset; a *leader* tells what is so of its shard, and sums count nothing twice.

Every metric has the label `service`. `shard` is the log and the partition,
`folkmoot.election.log/0`. Teams and agents beyond what a shard tells one by one are `{OTHERS}`.

What metrics cost: two microseconds a batch of inputs, which takes hundreds. Everything else is read
from what is there when it is asked for. What has to be counted by walking over a state (open sagas,
agents, teams) is counted anew only after a hundred times what the walk took, so that it costs a
hundredth of the time at most: a tenth of a second for a hundred thousand open sagas, every ten.
"""

TABLE = ("| metric | kind | unit | told by | labels | meaning |", "| --- " * 6 + "|")

PARTS: Mapping[str, tuple[str, ...]] = {
    "Every service": (),
    "event-store": ("event-store",),
    "saga-orchestrator": ("saga-orchestrator",),
    "breaker-proxy": ("breaker-proxy",),
    "election": ("election",),
    "agent-worker": ("agent-worker",),
}


def files() -> dict[str, str]:
    """Return the page."""
    parts = [part for title, services in PARTS.items() for part in _part(title, services)]
    return {PAGE: "\n".join([HEAD, *parts])}


def _part(title: str, services: tuple[str, ...]) -> Iterator[str]:
    yield f"## {title}\n"
    yield from TABLE
    for rule in REGISTRY:
        if rule.services == services or (not services and len(rule.services) > 1):
            yield _row(rule)
    yield ""


def _row(rule: MetricRule) -> str:
    labels = ", ".join(f"`{label}`" for label in rule.labels if label != "service")
    told = [f"`{rule.name}`", rule.kind, rule.unit, rule.told_by, labels, rule.meaning]
    return f"| {' | '.join(told)} |"
