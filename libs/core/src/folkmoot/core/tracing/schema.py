"""Every span and attribute that there is, declared once: what a trace may say, and what it means.

Names follow OpenTelemetry's semantic conventions where they have one (messaging; generative AI, for
what an agent does) and begin with `folkmoot.` where they have none. Inputs, results and the text of
failures are never in a trace. `docs/reference/tracing.md` is made from here.

https://github.com/open-telemetry/semantic-conventions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from folkmoot.core.tracing.spans import Kind, Span

SAGA_ID = "folkmoot.saga.id"
SAGA_STATE = "folkmoot.saga.state"
SAGA_STEPS = "folkmoot.saga.steps"
TEAM = "folkmoot.team"
STEP_ID = "folkmoot.step.id"
ATTEMPT = "folkmoot.step.attempt"
CALL_KIND = "folkmoot.call.kind"
IN_DOUBT = "folkmoot.step.in_doubt"
RUN = "folkmoot.run"
MEMBER = "folkmoot.member"
JOURNAL_KEY = "folkmoot.journal.key"
CONTROL = "folkmoot.control"
ACTOR = "folkmoot.actor"
DECISION = "folkmoot.breaker.decision"
PROBE = "folkmoot.breaker.probe"
TOKENS = "folkmoot.usage.tokens"
MICROS = "folkmoot.usage.cost_micros"
LINK = "folkmoot.link"

ERROR_TYPE = "error.type"
SYSTEM = "messaging.system"
OPERATION = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
PARTITION = "messaging.destination.partition.id"
CONVERSATION = "messaging.message.conversation_id"
AI_OPERATION = "gen_ai.operation.name"
AI_PROVIDER = "gen_ai.provider.name"
AI_AGENT = "gen_ai.agent.name"
AI_CONVERSATION = "gen_ai.conversation.id"

ATTRIBUTES: Mapping[str, str] = {
    SAGA_ID: "The saga's id",
    SAGA_STATE: "How the saga ended: completed, compensated, failed or terminated",
    SAGA_STEPS: "Steps of its plan",
    TEAM: "The team that it is for",
    STEP_ID: "The step's id within the plan",
    ATTEMPT: "Which attempt of the step this is, from 1",
    CALL_KIND: "What is run: plan, step, compensate or aggregate",
    IN_DOUBT: "Whether it is not known that the step took effect",
    RUN: "Which run of the attempt this is, from 1: a worker's death begins another",
    MEMBER: "The member that ran it",
    JOURNAL_KEY: "The key under which the call's result is journaled",
    CONTROL: "What was asked for: cancel, pause, retry-step and so on",
    ACTOR: "Who asked for it",
    DECISION: "What the breaker decided: admitted, queued or dequeued",
    PROBE: "Whether the call is the probe of a half-open breaker",
    TOKENS: "Tokens that the run used up, as the handler reported them",
    MICROS: "What that cost, in millionths of a dollar",
    LINK: "What this span does to the linked one (`compensates`), or what it is: the `child` "
    "saga that a step runs, or the `parent` step that runs a saga",
    ERROR_TYPE: "The kind of the failure",
    SYSTEM: "The bus: kafka, or sqlite for the embedded one",
    OPERATION: "send, or process",
    DESTINATION: "The topic of the call",
    PARTITION: "Its partition",
    CONVERSATION: "The id of the call, by which its answer is told from others",
    AI_OPERATION: "invoke_agent",
    AI_PROVIDER: "folkmoot: which model an agent asks is its own instrumentation's to tell",
    AI_AGENT: "The agent",
    AI_CONVERSATION: "The saga's id",
}

MOMENTS: Mapping[str, str] = {
    "refused": "The attempt was not admitted: by its agent's breaker, or its worker, as "
    "`error.type` says",
    "skipped": "An operator let the saga go on without it",
}


@dataclass(frozen=True, slots=True)
class DeclaredSpan:
    """One kind of span. A span's name is `word`, then what it `names` if anything."""

    word: str
    names: str
    of: str
    kind: Kind
    child_of: str
    meaning: str
    attributes: frozenset[str]
    moments: frozenset[str] = frozenset()


_COMMON = frozenset({SAGA_ID, ERROR_TYPE})
_CALL = _COMMON | {TEAM, STEP_ID, ATTEMPT, SYSTEM, OPERATION, DESTINATION, CONVERSATION}
_ENDINGS = frozenset({"refused", "skipped"})

_DECLARED = (
    DeclaredSpan(
        "saga",
        "team",
        "saga-orchestrator",
        "internal",
        "the publisher's span, or nothing",
        "The whole task, from when it was taken on to its end",
        _COMMON | {TEAM, SAGA_STATE, SAGA_STEPS},
    ),
    DeclaredSpan(
        "plan",
        "",
        "saga-orchestrator",
        "producer",
        "saga",
        "One attempt to have the team's leader plan",
        _CALL,
        _ENDINGS,
    ),
    DeclaredSpan(
        "step",
        "step",
        "saga-orchestrator",
        "producer",
        "saga",
        "One attempt of a step, from the call to its answer",
        _CALL,
        _ENDINGS,
    ),
    DeclaredSpan(
        "aggregate",
        "",
        "saga-orchestrator",
        "producer",
        "saga",
        "One attempt to have the leader make the result",
        _CALL,
        _ENDINGS,
    ),
    DeclaredSpan(
        "compensate",
        "step",
        "saga-orchestrator",
        "producer",
        "saga",
        "One attempt to undo a step; linked to the attempt that it undoes",
        _CALL | {IN_DOUBT},
        _ENDINGS,
    ),
    DeclaredSpan(
        "paused",
        "",
        "saga-orchestrator",
        "internal",
        "saga",
        "The time from a pause to its end",
        _COMMON | {ACTOR},
    ),
    DeclaredSpan(
        "control",
        "",
        "saga-orchestrator",
        "internal",
        "saga",
        "The moment at which somebody's request was accepted",
        _COMMON | {CONTROL, ACTOR, STEP_ID},
    ),
    DeclaredSpan(
        "breaker",
        "agent",
        "breaker-proxy",
        "internal",
        "step, compensate",
        "The moment of a breaker's decision about a call; what it refuses is an event of the "
        "attempt instead",
        _COMMON | {STEP_ID, DECISION, PROBE, PARTITION},
    ),
    DeclaredSpan(
        "invoke_agent",
        "agent",
        "agent-worker",
        "consumer",
        "plan, step, compensate, aggregate",
        "One run of a handler; its own HTTP and model calls are children of it",
        _COMMON
        | {TEAM, STEP_ID, ATTEMPT, CALL_KIND, RUN, MEMBER, TOKENS, MICROS}
        | {SYSTEM, OPERATION, DESTINATION, PARTITION, CONVERSATION}
        | {AI_OPERATION, AI_PROVIDER, AI_AGENT, AI_CONVERSATION},
    ),
    DeclaredSpan(
        "call",
        "name",
        "agent-worker",
        "internal",
        "invoke_agent",
        "One journaled call of a handler; what comes from the journal has no span again",
        _COMMON | {STEP_ID, JOURNAL_KEY},
    ),
)
SPANS: Mapping[str, DeclaredSpan] = {each.word: each for each in _DECLARED}
LINK_ATTRIBUTES = frozenset({LINK})


def undeclared(span: Span) -> list[str]:
    """Return what a span says that is not declared, nothing if all is well."""
    word, _, named = span.name.partition(" ")
    declared = SPANS.get(word)
    if declared is None or bool(named) != bool(declared.names):
        return [f"no span {span.name!r} is declared"]
    problems = [f"{word} has no {name}" for name in span.attributes.keys() - declared.attributes]
    for moment in span.moments:
        if moment.name not in declared.moments:
            problems.append(f"{word} has no event {moment.name}")
        problems += [f"an event has no {name}" for name in moment.attributes.keys() - {ERROR_TYPE}]
    for link in span.links:
        problems += [f"a link has no {name}" for name in link.attributes.keys() - LINK_ATTRIBUTES]
    if span.kind != declared.kind:
        problems.append(f"{word} is {declared.kind}, not {span.kind}")
    return problems
