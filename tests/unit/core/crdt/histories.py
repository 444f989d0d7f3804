"""Random histories of replicas that change one document and hear of some of the changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import strategies as st

from folkmoot.core.crdt import KINDS, Crdt, GCounter, ORSet, PNCounter, from_json

REPLICAS = ("a", "b", "c")
ALL_KINDS = sorted(KINDS)

elements = st.sampled_from(["x", "y", 1, 1.5, True, None, ["p", 2], {"k": [1]}])
tags = st.sampled_from([None, "saga-1", "saga-2"])
replicas = st.sampled_from(REPLICAS)
amounts = st.integers(0, 5)
actors = st.sampled_from([None, "saga-1/step", "saga-2/step"])

Change = Callable[[Any], Any]


def _added(values: list[Any], tag: str | None) -> Change:
    return lambda state: state.add(*values, tag=tag)


def _called(method: str, *arguments: Any) -> Change:
    return lambda state: getattr(state, method)(*arguments)


CHANGES: dict[str, st.SearchStrategy[Change]] = {
    ORSet.KIND: st.one_of(
        st.builds(_added, st.lists(elements, max_size=3), tags),
        st.builds(_called, st.just("remove"), elements),
        st.builds(_called, st.just("remove_tagged"), st.sampled_from(["saga-1", "saga-2"])),
    ),
    GCounter.KIND: st.one_of(
        st.builds(_called, st.just("increment"), amounts, actors),
        st.builds(_called, st.just("raise_to"), st.just("saga-1/step"), st.integers(0, 9)),
    ),
    PNCounter.KIND: st.builds(
        _called, st.sampled_from(["increment", "decrement"]), amounts, actors
    ),
}


@dataclass
class History:
    """What the replicas came to know, and the delta of every change."""

    states: dict[str, Crdt]
    deltas: list[Crdt] = field(default_factory=list)

    def change(self, replica: str, change: Change) -> None:
        self.deltas.append(change(self.states[replica]))

    def tell(self, place: int, to: str) -> None:
        if self.deltas:
            self.states[to].merge(self.deltas[place % len(self.deltas)])

    @property
    def joined(self) -> Any:
        return join_of(self.states.values())


def join_of(states: Any) -> Any:
    """Return the join of `states`, which stay as they are."""
    states = list(states)
    made = type(states[0])()
    for state in states:
        made.merge(state)
    return made


def copy(state: Any) -> Any:
    """Return an equal state that shares nothing, by way of the wire."""
    return from_json(orjson.loads(orjson.dumps(state.to_json())))


@st.composite
def histories(draw: st.DrawFn, kind: str, steps_max: int = 12) -> History:
    history = History({replica: KINDS[kind](replica) for replica in REPLICAS})
    for _ in range(draw(st.integers(0, steps_max))):
        if draw(st.booleans()):
            history.change(draw(replicas), draw(CHANGES[kind]))
        else:
            history.tell(draw(st.integers(0, 50)), draw(replicas))
    return history


@st.composite
def foreign_states(draw: st.DrawFn, kind: str) -> Any:
    """Any state that can be decoded, be it one that no honest replicas would come to."""
    if kind == ORSet.KIND:
        return from_json(draw(_sets()))
    totals = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(1, 5))
    halves = ("totals",) if kind == GCounter.KIND else ("up", "down")
    return from_json({"kind": kind, **{half: draw(totals) for half in halves}})


@st.composite
def _sets(draw: st.DrawFn) -> Any:
    dots = st.tuples(replicas, st.integers(1, 6))
    living = draw(st.dictionaries(dots, st.tuples(elements, tags), max_size=6))
    dropped = draw(st.sets(dots, max_size=6)) - set(living)
    intervals: dict[str, list[list[int]]] = {}
    for replica, n in sorted(dropped):
        runs = intervals.setdefault(replica, [])
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    listed = [[*dot, *payload] for dot, payload in sorted(living.items(), key=lambda e: e[0])]
    return {"kind": "orset", "living": listed, "dropped": intervals}


def states(kind: str) -> st.SearchStrategy[Any]:
    """States of honest replicas, and others."""
    honest = st.builds(lambda h, r: h.states[r], histories(kind), replicas)
    return st.one_of(honest, foreign_states(kind))
