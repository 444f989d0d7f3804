"""What each event of a saga says, as a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping

from folkmoot.core.messages import Json

SENTENCE_CHARS_MAX = 200
"""Of an event: what a failure or an answer says may be long, and stands in the event itself."""

_SENTENCES: Mapping[str, str] = {
    "budget-spent": "{step_id} has spent {usage[tokens]} tokens, {usage[micros]} millionths of $",
    "child-answered": "the saga above is answered: {outcome[status]}",
    "call-abandoned": "nobody waits for call {call_id} of {step_id} any more",
    "compensation-started": "it turns back: {failure[detail]}",
    "compensation-stuck": "undoing {step_id} has failed {attempts} times: {failure[detail]}",
    "control-accepted": "{actor} asks to {control} {step_id} ({reason})",
    "control-refused": "{actor} may not {control} {step_id}: {failure[detail]}",
    "grace-given": "after a change of leader nothing falls due for a moment",
    "outcome-ignored": "a late or unknown answer of {step_id} ({status}) is ignored",
    "question-answered": "{actor} answers {question_id}: {value}",
    "question-asked": "{step_id} asks {question_id}: {prompt}",
    "question-expired": "nobody has answered {question_id} in time",
    "saga-compensated": "it is undone: {failure[detail]}",
    "saga-admitted": "there is a place for it, and it begins",
    "saga-completed": "it is completed",
    "saga-failed": "it has failed: {failure[detail]}",
    "saga-held": "it has its result, and may be undone until the saga above ends",
    "saga-opened": "team {team} is given a task",
    "saga-paused": "{actor} pauses it",
    "saga-queued": "all places are taken: it waits to begin",
    "saga-released": "the saga above will not have it undone",
    "saga-resumed": "it goes on",
    "saga-terminated": "it is ended, and nothing is undone: {failure[detail]}",
    "signal-kept": "{actor} gives signal {name}, which nothing waits for yet",
    "step-compensated": "{step_id} is undone",
    "step-compensation-retry-scheduled": "undoing {step_id} failed: {failure[detail]}",
    "step-compensation-scheduled": "undo {step_id}, attempt {attempt}",
    "step-compensation-skipped": "{step_id} is left as it is",
    "step-deferred": "{step_id} is not let in: {failure[detail]}",
    "step-expanded": "{step_id} runs for each of {count} items",
    "step-failed": "{step_id} has failed for good: {failure[detail]}",
    "step-joined": "all parts of {step_id} have ended",
    "step-omitted": "{step_id} is left out: its condition does not hold",
    "step-passed-over": "{step_id} has nothing to undo",
    "step-progressed": "{step_id} is at work",
    "step-released": "the condition of {step_id} holds",
    "step-retry-scheduled": "attempt {attempt} of {step_id} failed: {failure[detail]}",
    "step-scheduled": "do {step_id}, attempt {attempt}",
    "step-skipped": "it goes on without {step_id}",
    "step-stuck": "{step_id} has failed {attempts} times: {failure[detail]}",
    "step-succeeded": "{step_id} has succeeded, at {member} in {duration_ms} ms",
    "task-refused": "the task is refused: {failure[detail]}",
    "task-rejoined": "the task was given again",
    "undo-asked": "the saga above asks to have it undone",
    "undoing-started": "nothing is under way any more: undoing begins",
    "wall-time-passed": "its time is over",
}


class _Fields(dict[str, Json]):
    def __missing__(self, name: str) -> str:
        return "?"


def tell(name: str, data: Mapping[str, Json]) -> str:
    """Return what an event says. `name` is its wire name without prefix: `step-succeeded`.

    An event that has no sentence is told by its name, and its step if it has one.
    """
    if name == "plan-recorded":
        said = f"the plan has {len(data['steps'])} steps: {', '.join(_ids(data))}"
    elif name == "results-carried-over":
        said = f"what was done before is taken over: {', '.join(data['results'])}"
    elif (sentence := _SENTENCES.get(name)) is not None:
        said = sentence.format_map(_Fields(data))
    else:
        said = f"{name.replace('-', ' ')} {data.get('step_id', '')}"
    if data.get("forked_from"):
        said += f", from saga {data['forked_from']} as it was after event {data['forked_at']}"
    said = " ".join(said.replace(" ()", "").split())
    return said if len(said) <= SENTENCE_CHARS_MAX else f"{said[: SENTENCE_CHARS_MAX - 1]}…"


def _ids(plan: Mapping[str, Json]) -> list[str]:
    return [step["id"] for step in plan["steps"]]
