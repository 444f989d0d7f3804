"""A saga that is ended by hand leaves no call without a span."""

from __future__ import annotations

from folkmoot.core.kernel import Position
from folkmoot.core.messages import Failure
from folkmoot.core.saga import SagaMachine, SagaSettings
from folkmoot.core.saga.events import SagaOpened, SagaTerminated, StepScheduled
from folkmoot.core.tracing import Sampler, Span
from folkmoot.core.tracing.sagas import UNANSWERED, SagaSpans

EVENTS = (
    SagaOpened("s", "t", None),
    StepScheduled("s", "plan", "plan", 1, "s/plan/do/1", 9, 9),
    SagaTerminated("s", Failure("terminated", "enough")),
)


def told(sampler: Sampler) -> list[Span]:
    machine, projection = SagaMachine(SagaSettings(), 0), SagaSpans(sampler)
    state, spans = machine.initial(), list[Span]()
    for offset, event in enumerate(EVENTS):
        position = Position(offset, 1_000 + offset)
        spans += projection(state, event, position)
        machine.apply(state, event, position)
    return spans


def test_what_was_under_way_ends_with_its_saga() -> None:
    plan, root = told(Sampler(1.0))
    assert (plan.name, plan.error, plan.began_at, plan.ended_at) == ("plan", UNANSWERED, 1001, 1002)
    assert (root.name, root.error, plan.parent) == ("saga t", "terminated", root.span_id)


def test_so_it_does_if_the_saga_is_not_sampled() -> None:
    assert told(Sampler(0.0)) == told(Sampler(1.0))
