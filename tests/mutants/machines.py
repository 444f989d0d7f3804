"""Defects in what the machines decide."""

from __future__ import annotations

from tests.mutants.mutant import CORE, mutant

MACHINES = (
    mutant(
        "answers-of-earlier-attempts",
        "only the answer to a step's current call changes anything",
        f"{CORE}/saga/machine.py",
        "if saga is None or step is None or not step.called or step.call_id != outcome.call_id:",
        "if saga is None or step is None or not step.called:",
    ),
    mutant(
        "undone-before-its-dependants",
        "I6: dependants are undone before what they depend on",
        f"{CORE}/saga/backward.py",
        "free = [step.plan.id for step in scheduled if blockers[step.plan.id] == 0]",
        "free = [step.plan.id for step in scheduled]",
    ),
    mutant(
        "one-too-many-at-a-time",
        "I9: no more calls of a limit are with workers than it allows",
        f"{CORE}/breaker/limiting.py",
        "self._ended[key] >= limit.in_flight:",
        "self._ended[key] > limit.in_flight:",
    ),
    mutant(
        "a-limit-forgets-what-began",
        "I9: no more calls of a limit begin in a period than it allows",
        f"{CORE}/breaker/limiting.py",
        "            gate.starts.append(at)\n",
        "            gate.starts[:] = [at]\n",
    ),
    mutant(
        "a-pause-stays-with-the-parent",
        "a pause goes down to the sagas that a saga runs",
        f"{CORE}/saga/folding.py",
        "return children.pauses(saga)",
        "return ()",
    ),
    mutant(
        "tampered-plans-are-believed",
        "what was altered in a log is not believed",
        f"{CORE}/saga/plan_events.py",
        "if found != self.plan_hash and not self._is_of_old():",
        "if False:",
    ),
    mutant(
        "steps-in-doubt-are-not-undone",
        "I6: each step that may have taken effect is compensated",
        f"{CORE}/saga/backward.py",
        "if step.plan.compensable and self._ending_of(step).begun:",
        "if step.plan.compensable and self._ending_of(step).succeeded:",
    ),
    mutant(
        "a-second-probe",
        "a half-open breaker has exactly one call in flight",
        f"{CORE}/breaker/machine.py",
        'if target.circuit.phase == "open" and now >= target.circuit.retry_at:',
        'if target.circuit.phase != "closed" and now >= target.circuit.retry_at:',
    ),
    mutant(
        "deadlines-by-anothers-clock",
        "a call has its time, wherever the clocks of its sender and its receiver stand",
        f"{CORE}/messages.py",
        "return now - message.sent_at if message.sent_at else 0",
        "return 0",
    ),
    mutant(
        "results-of-earlier-runs",
        "a handler that was followed by another run changes nothing",
        f"{CORE}/worker/machine.py",
        "return open_call if open_call is not None and open_call.run == run else None",
        "return open_call",
    ),
    mutant(
        "journaled-twice",
        "a journaled call has one result",
        f"{CORE}/worker/machine.py",
        "if open_call is None or message.key in open_call.journal:",
        "if open_call is None:",
    ),
    mutant(
        "any-expected-version",
        "an append that expects another version is a conflict",
        f"{CORE}/event_store/machine.py",
        "if append.expected_version not in (ANY_VERSION, version):",
        "if append.expected_version < ANY_VERSION:",
    ),
    mutant(
        "appended-twice",
        "a request is appended once",
        f"{CORE}/event_store/machine.py",
        "if state.answer(stream, request_id) is not None:",
        "if False:",
    ),
)
