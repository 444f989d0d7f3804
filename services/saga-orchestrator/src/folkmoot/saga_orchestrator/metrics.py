"""What the saga-orchestrator tells of its sagas; only leaders do, so that sums count none twice.

Open sagas are counted by a walk that is bounded in what it costs. Ended ones are counted as they
are found at the end of the list of those that ended lately, so deciding costs nothing more; of
those that ended before this process was first scraped nothing is told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

from folkmoot.contracts.metrics import OTHERS, SAGA_BUCKETS_S
from folkmoot.core.saga import Ended, SagaState
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role
from folkmoot.runtime.sheet import Sheet, Survey
from folkmoot.runtime.tally import MS, Histogram

TEAMS_TOLD_MAX = 200
"""Teams of a shard that are told one by one: the first that it knew. Each has a score of series."""


class SagaMeasure:
    """The measure of one process."""

    def __init__(self, replicas: Sequence[Replica[SagaState]], clock: Clock) -> None:
        self._replicas = replicas
        self._open = Survey(clock, _open_sagas)
        self._seen: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._endings = {replica.name.origin: Endings() for replica in replicas}

    def __call__(self, sheet: Sheet) -> None:
        """Tell the sagas of each shard that is led here."""
        for replica in self._replicas:
            shard, state = replica.name.origin, replica.shard.state
            endings = self._endings[shard]
            if replica.role is Role.RESTORING:
                endings.lose_track()
                continue
            endings.take_in(state, counts=replica.leads)
            if replica.leads:
                self._tell_open(sheet, shard, state)
                endings.tell(sheet, shard)

    def _tell_open(self, sheet: Sheet, shard: str, state: SagaState) -> None:
        """Tell how many are open; of what there was any before, also that there is none now."""
        counts = self._open.of(shard, state)
        self._seen[shard] |= counts.keys()
        for team, phase in self._seen[shard]:
            sheet.put("sagas_open", counts[team, phase], shard, team, phase)


def _told_teams(state: SagaState) -> frozenset[str]:
    return frozenset(islice(state.teams, TEAMS_TOLD_MAX))


def _open_sagas(state: SagaState) -> Counter[tuple[str, str]]:
    counts = Counter((saga.team, saga.shown_state) for saga in state.sagas.values())
    told, open_sagas = _told_teams(state), Counter[tuple[str, str]]()
    for (team, phase), count in counts.items():
        open_sagas[team if team in told else OTHERS, phase] += count
    return open_sagas


class Endings:
    """Counts the sagas of one shard as they end."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._took: dict[str, Histogram] = defaultdict(lambda: Histogram(SAGA_BUCKETS_S))
        self._newest: tuple[str, int] | None = None

    def lose_track(self) -> None:
        """The history is being read: what it is found to end with is no news."""
        self._newest = None

    def take_in(self, state: SagaState, *, counts: bool) -> None:
        """Take notice of what has ended since the last time; it `counts` if this process leads."""
        told = _told_teams(state)
        if counts and self._newest is not None:
            for ended in self._since(state, *self._newest):
                team = ended.result.team if ended.result.team in told else OTHERS
                self._counts[team, ended.result.state] += 1
                self._took[team].observe((ended.ended_at - ended.opened_at) / MS)
        newest = next(reversed(state.ended), "")
        self._newest = (newest, state.ended[newest].ended_at if newest else 0)

    @staticmethod
    def _since(state: SagaState, saga_id: str, at: int) -> Iterator[Ended]:
        """Yield what ended after that saga; if it is not there any more, what ended after `at`."""
        known = saga_id in state.ended
        for each, ended in reversed(state.ended.items()):
            if each == saga_id or (not known and ended.ended_at <= at):
                return
            yield ended

    def tell(self, sheet: Sheet, shard: str) -> None:
        """Tell what was counted."""
        for (team, state), count in self._counts.items():
            sheet.put("sagas_ended_total", count, shard, team, state)
        for team, took in self._took.items():
            sheet.put_histogram("saga_seconds", took, shard, team)
