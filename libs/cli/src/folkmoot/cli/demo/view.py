"""What the logs say of one saga, folded into what a screen or a report shows.

The view is made from accepted log entries and nothing else, so that what is shown is what
happened. It is a pure fold: entries in, picture out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Event = Mapping[str, Any]

HOOKS = ("plan", "aggregate")
"""What the elected leader runs besides the planned steps."""


@dataclass
class StepView:
    """One step: where it is, how often it was attempted, how often its handler ran.

    Of the `calls` that it makes, as far as they are known, `journaled` have a result.
    """

    id: str
    agent: str = ""
    kind: str = "step"
    state: str = "waiting"
    attempts: int = 0
    runs: int = 0
    member: str = ""
    needs: tuple[str, ...] = ()
    calls: int = 0
    journaled: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    note: str = ""


@dataclass
class BreakerView:
    """One agent's breaker, and each state that it has been in."""

    state: str = "closed"
    history: list[str] = field(default_factory=list)


@dataclass
class LeaderChange:
    """A team got another leader."""

    team: str
    epoch: int
    member: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "team": self.team,
            "epoch": self.epoch,
            "member": self.member,
            "reason": self.reason,
        }


@dataclass
class View:
    """One saga and what surrounds it. `saga_id` is None until it is known."""

    team: str
    saga_id: str | None = None
    state: str = "submitted"
    opened_at: int | None = None
    ended_at: int | None = None
    steps: dict[str, StepView] = field(default_factory=dict)
    compensations: list[str] = field(default_factory=list)
    compensating: set[str] = field(default_factory=set)
    leader_changes: list[LeaderChange] = field(default_factory=list)
    breakers: dict[str, BreakerView] = field(default_factory=dict)
    failure: str | None = None
    failed_step: str | None = None
    result: Any = None

    @property
    def ended(self) -> bool:
        """Whether the saga has reached its end."""
        return self.ended_at is not None

    @property
    def leader(self) -> LeaderChange | None:
        """Who leads the team now."""
        return self.leader_changes[-1] if self.leader_changes else None

    def take(self, offset: int, at: int, event: Event) -> None:
        """Take in one event of an accepted entry at `offset` of its log."""
        name = event["type"].removeprefix("folkmoot.").rsplit(".v", 1)[0]
        data = event["data"]
        handler = _HANDLERS.get(name)
        if handler is None or ("saga_id" in data and data["saga_id"] != self.saga_id):
            return
        handler(self, data, offset, at)

    def step(self, step_id: str) -> StepView:
        """Return a step, made when first heard of."""
        if step_id not in self.steps:
            kind = step_id if step_id in HOOKS else "step"
            self.steps[step_id] = StepView(step_id, self.team if kind in HOOKS else "", kind)
        return self.steps[step_id]

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints of the log's side."""
        duration_ms = (self.ended_at or 0) - (self.opened_at or 0)
        return {
            "saga_id": self.saga_id,
            "state": self.state,
            "duration_s": round(duration_ms / 1000, 3),
            "leader_changes": [change.to_json() for change in self.leader_changes],
            "steps": [
                {
                    "id": step.id,
                    "agent": step.agent,
                    "kind": step.kind,
                    "state": step.state,
                    "attempts": step.attempts,
                    "runs": step.runs,
                }
                for step in self.steps.values()
            ],
            "compensations": self.compensations,
        }


# -- the orchestrator's log ------------------------------------------------------------------


def _opened(view: View, _data: Event, _offset: int, at: int) -> None:
    view.state, view.opened_at = "running", at


def _planned(view: View, data: Event, _offset: int, _at: int) -> None:
    view.step("plan").state = "succeeded"
    for planned in data["steps"]:
        step = view.step(planned["id"])
        step.agent, step.needs = planned["agent"], tuple(planned["needs"])
        step.calls = len((planned["input"] or {}).get("names", ()))


def _scheduled(view: View, data: Event, _offset: int, at: int) -> None:
    step = view.step(data["step_id"])
    step.state, step.attempts, step.note = "scheduled", data["attempt"], ""
    step.started_at = step.started_at or at


def _succeeded(view: View, data: Event, _offset: int, at: int) -> None:
    step = view.step(data["step_id"])
    step.state, step.ended_at, step.note = "succeeded", at, ""


def _retried(view: View, data: Event, _offset: int, _at: int) -> None:
    step = view.step(data["step_id"])
    step.state, step.note = "retrying", _why(data)


def _deferred(view: View, data: Event, _offset: int, _at: int) -> None:
    step = view.step(data["step_id"])
    step.state, step.note = "deferred", _why(data)


def _step_failed(view: View, data: Event, _offset: int, at: int) -> None:
    step = view.step(data["step_id"])
    step.state, step.ended_at, step.note = "failed", at, _why(data)
    view.failed_step = view.failed_step or step.id


def _why(data: Event) -> str:
    failure = data.get("failure")
    return failure["detail"] if failure else ""


def _compensating(view: View, data: Event, _offset: int, _at: int) -> None:
    view.state = "compensating"
    view.failure = _why(data) or data.get("reason")


def _undoing(view: View, data: Event, _offset: int, _at: int) -> None:
    view.compensating.add(data["step_id"])
    view.step(data["step_id"]).state = "compensating"


def _undone(view: View, data: Event, _offset: int, _at: int) -> None:
    view.compensating.discard(data["step_id"])
    view.compensations.append(data["step_id"])
    view.step(data["step_id"]).state = "compensated"


def _ended(state: str) -> Callable[[View, Event, int, int], None]:
    def end(view: View, data: Event, _offset: int, at: int) -> None:
        view.state, view.ended_at = state, at
        view.result = data.get("result")
        view.failure = view.failure or _why(data) or None

    return end


# -- the workers' logs -----------------------------------------------------------------------


def _started(view: View, data: Event, _offset: int, _at: int) -> None:
    if data["kind"] == "compensate":
        return
    step = view.step(data["step_id"])
    step.runs += 1
    step.attempts = max(step.attempts, 1)
    step.member = data["member"]
    if step.state in ("waiting", "scheduled", "retrying", "deferred"):
        step.state = "running"


def _journaled(view: View, data: Event, _offset: int, _at: int) -> None:
    view.step(data["step_id"]).journaled += 1


# -- the others ------------------------------------------------------------------------------


def _elected(view: View, data: Event, offset: int, _at: int) -> None:
    if data["team"] == view.team:
        change = LeaderChange(data["team"], offset, data["leader"], data["reason"])
        view.leader_changes.append(change)


def _breaker(state: str) -> Callable[[View, Event, int, int], None]:
    def turn(view: View, data: Event, _offset: int, _at: int) -> None:
        breaker = view.breakers.setdefault(data["target"], BreakerView())
        breaker.state = state
        breaker.history.append(state)

    return turn


_HANDLERS: Mapping[str, Callable[[View, Event, int, int], None]] = {
    "saga-opened": _opened,
    "plan-recorded": _planned,
    "step-scheduled": _scheduled,
    "step-succeeded": _succeeded,
    "step-retry-scheduled": _retried,
    "step-deferred": _deferred,
    "step-failed": _step_failed,
    "compensation-started": _compensating,
    "step-compensation-scheduled": _undoing,
    "step-compensated": _undone,
    "saga-completed": _ended("completed"),
    "saga-compensated": _ended("compensated"),
    "saga-failed": _ended("failed"),
    "task-refused": _ended("refused"),
    "call-started": _started,
    "call-journaled": _journaled,
    "leader-elected": _elected,
    "breaker-opened": _breaker("open"),
    "breaker-half-opened": _breaker("half-open"),
    "breaker-closed": _breaker("closed"),
}
