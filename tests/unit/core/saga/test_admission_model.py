"""Random tasks, ends and requests: never are more sagas at work than there are places for.

The reference is what the leaders were asked: a saga is at work from its first call to its end.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from saga_driver import Driver, step

from folkmoot.core.messages import (
    CancelSaga,
    PauseSaga,
    ResumeSaga,
    Task,
    TerminateSaga,
)
from folkmoot.core.saga import SagaMachine, SagaSettings
from folkmoot.core.shares import Share

TEAMS = ("news", "sport", "arts")
REQUESTS = (CancelSaga, TerminateSaga, PauseSaga, ResumeSaga)


class Admission(RuleBasedStateMachine):
    """Sagas of one step each, of three teams."""

    @initialize(shard=st.integers(0, 4), team=st.integers(0, 2), queued=st.integers(0, 6))
    def begin(self, shard: int, team: int, queued: int) -> None:
        self.limits = SagaSettings(
            sagas_at_once=shard, team_sagas_at_once=team, queued_sagas_max=queued, wave_max=5
        )
        self.driver = Driver(self.limits, TEAMS)
        self.count = 0
        self.teams: dict[str, str] = {}

    def places(self, team: str) -> int:
        """Return how many more sagas of a team may be at work."""
        at_work = Counter(self.teams[each] for each in self.at_work())
        left = [99]
        if self.limits.sagas_at_once:
            left.append(self.limits.sagas_at_once - at_work.total())
        if self.limits.team_sagas_at_once:
            left.append(self.limits.team_sagas_at_once - at_work[team])
        return min(left)

    def at_work(self) -> list[str]:
        """Return what was let in and has not ended, paused before its first call or not."""
        return [saga_id for saga_id, saga in self.driver.state.sagas.items() if not saga.queued]

    def queued(self) -> list[str]:
        return [saga_id for saga_id, saga in self.driver.state.sagas.items() if saga.queued]

    @rule(team=st.sampled_from(TEAMS), tenant=st.sampled_from("ab"), planned=st.booleans())
    def submit(self, team: str, tenant: str, planned: bool) -> None:
        self.count += 1
        saga_id = f"s{self.count:03}"
        plan = [step("a")] if planned else None
        self.teams[saga_id] = team
        waits = self.places(team) <= 0 or any(self.teams[each] == team for each in self.queued())
        full = len(self.queued()) >= self.limits.queued_sagas_max
        self.driver.give(Task(team, None, saga_id, plan=plan, share=Share(tenant)))
        assert (saga_id in self.queued()) == (waits and not full)
        assert (saga_id in self.at_work()) == (not waits)

    @rule(which=st.integers(0, 9), request=st.sampled_from(REQUESTS))
    def control(self, which: int, request: Any) -> None:
        if sagas := list(self.driver.state.sagas):
            self.driver.give(request(sagas[which % len(sagas)], "ann"))

    @rule(which=st.integers(0, 9), well=st.booleans())
    def answer(self, which: int, well: bool) -> None:
        calls = [call for call in self.driver.calls if self._is_open(call)]
        if not calls:
            return
        call = calls[which % len(calls)]
        undo, plan = call.kind == "compensate", [step("a")] if call.kind == "plan" else None
        if well or undo:
            self.driver.succeed(call.step_id, plan, undo=undo, saga_id=call.saga_id)
        else:
            self.driver.fail(call.step_id, saga_id=call.saga_id)

    def _is_open(self, call: Any) -> bool:
        saga = self.driver.state.sagas.get(call.saga_id)
        found = saga.find(call.step_id) if saga else None
        return found is not None and found.called and found.call_id == call.call_id

    @rule()
    def pass_time(self) -> None:
        """Decide what is due; then nobody waits for whom there is a place."""
        self.driver.pass_time(0)
        for saga_id in self.queued():
            assert self.places(self.teams[saga_id]) <= 0, f"{saga_id} waits in vain"

    @rule()
    def follow(self) -> None:
        assert self.driver.replayed() == self.driver.state

    @invariant()
    def no_more_are_at_work_than_may(self) -> None:
        if hasattr(self, "driver"):
            assert all(self.places(team) >= 0 for team in TEAMS)
            called = {call.saga_id for call in self.driver.calls}
            assert not called & {*self.queued()}, "what is queued has begun"
            assert self.driver.state.lobby.begun == len(self.at_work())

    def teardown(self) -> None:
        if not hasattr(self, "driver"):
            return
        for _ in range(self.count + 1):
            for saga_id in list(self.driver.state.sagas):
                self.driver.give(TerminateSaga(saga_id, "ann"))
            self.driver.pass_time(0)
        lobby = self.driver.state.lobby
        assert (lobby.begun, lobby.queued, lobby.teams, lobby.waiting) == (0, 0, {}, {})
        assert SagaMachine(self.limits, 0).due(self.driver.state) is None


TestAdmission = Admission.TestCase
TestAdmission.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
