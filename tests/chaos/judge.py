"""The verdict: whether anything was lost, doubled or left half done.

- Lost: a saga that was acknowledged and has no end, an append that is not there though all had time
  to heal, or an effect that its saga's end says happened and that did not.
- Doubled: an effect or an append that happened twice, a saga that ended or was planned twice.
- Wrong: an end that was not to be, an undo that is missing or out of order, a stream with a gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.agents import AGGREGATE, NEEDS
from tests.chaos.evidence import Evidence
from tests.chaos.ledger import Effect, repeated
from tests.chaos.load import Submitted


@dataclass
class Verdict:
    """What is not as it should be, in sentences. `prevented` counts what fencing kept off."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    prevented: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to complain of."""
        return not (self.lost or self.doubled or self.wrong)


def judge(
    submitted: Mapping[str, Submitted], found: Evidence, asked: Collection[str] = ()
) -> Verdict:
    """Return the verdict on a run with these acknowledged sagas and these appends."""
    verdict = Verdict(prevented=sum(repeated(list(found.tries)).values()))
    for key, times in repeated(list(found.effects)).items():
        verdict.doubled.append(f"{key} acted {times + 1} times")
    by_saga: dict[str, list[Effect]] = defaultdict(list)
    for effect in found.effects:
        by_saga[effect.saga_id].append(effect)
    for saga in submitted.values():
        _judge_end(saga, found, verdict)
        for end in set(found.ends.get(saga.saga_id, ())):
            _judge_effects(saga.saga_id, end, by_saga[saga.saga_id], verdict)
    for saga_id in set(by_saga) - set(submitted):
        verdict.wrong.append(f"{saga_id} acted and was never acknowledged")
    _judge_streams(asked, found, verdict)
    return verdict


def _judge_end(saga: Submitted, found: Evidence, verdict: Verdict) -> None:
    name = saga.saga_id
    ends = found.ends.get(name, [])
    told = found.results.get(name, {})
    if not ends or not told:
        verdict.lost.append(f"{name}: ends in the log {ends}, results published {len(told)}")
    if len(ends) > 1 or found.plans.get(name, 0) > 1:
        verdict.doubled.append(f"{name}: ended {ends}, planned {found.plans.get(name)} times")
    if len(told) > 1 + found.rejoined.get(name, 0):
        verdict.doubled.append(f"{name}: {len(told)} results were published: {sorted(told)}")
    states = {str(result["state"]) for result in told.values()}
    if ends and told and states != set(ends):
        verdict.wrong.append(f"{name}: the log says {ends}, the results say {states}")
    expected = {"compensated"} if saga.order.doomed else {"completed"}
    if saga.cancelled:
        expected |= {"compensated", "failed"}
    if not set(ends) <= expected:
        verdict.wrong.append(f"{name}: ended {ends}, expected {expected}")


def _judge_streams(asked: Collection[str], found: Evidence, verdict: Verdict) -> None:
    for request in asked:
        if not found.appends[request]:
            verdict.lost.append(f"append {request} is not there")
    for request, count in found.appends.items():
        if count > 1:
            verdict.doubled.append(f"append {request} is there {count} times")
    for stream, versions in found.versions.items():
        if versions != list(range(1, len(versions) + 1)):
            verdict.wrong.append(f"{stream} has the versions {versions}")


def _judge_effects(saga_id: str, end: str, effects: Sequence[Effect], verdict: Verdict) -> None:
    done = [effect.step for effect in effects if effect.deed == "do"]
    undone = [effect.step for effect in effects if effect.deed == "undo"]
    if end == "completed":
        missing = {*NEEDS, AGGREGATE} - set(done)
        verdict.lost += [f"{saga_id} completed without the effect of {step}" for step in missing]
        verdict.wrong += [f"{saga_id} completed, and {step} was undone" for step in undone]
        return
    missing = set(done) - set(undone) - {AGGREGATE}
    verdict.wrong += [f"{saga_id} {end}, but {step} was not undone" for step in missing]
    verdict.wrong += [f"{saga_id} {end}: {fault}" for fault in _disorder(effects)]


def _disorder(effects: Sequence[Effect]) -> Iterable[str]:
    """Say what was undone before it was done, or before something that needed it."""
    undone_at = {e.step: place for place, e in enumerate(effects) if e.deed == "undo"}
    for place, effect in enumerate(effects):
        if effect.deed == "do" and undone_at.get(effect.step, place) < place:
            yield f"{effect.step} was done after it was undone"
    for step, needs in NEEDS.items():
        for need in needs:
            if undone_at.get(need, len(effects)) < undone_at.get(step, -1):
                yield f"{need} was undone before {step}, which needed it"
