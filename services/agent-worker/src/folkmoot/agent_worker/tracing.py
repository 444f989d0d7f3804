"""Runs handlers within their spans, and times what they call.

A run's span is told by the worker's log, which knows of its end also when the process does not live
to see it. A journaled call's is written here, when the call ends. What a handler's own instrumented
clients do becomes a child of either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from folkmoot.core.messages import Call
from folkmoot.core.tracing import (
    Sampler,
    Span,
    call_context,
    journal_span_id,
    run_span_id,
    schema,
)
from folkmoot.core.tracing.workers import is_told
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.logs import working_on
from folkmoot.runtime.propagation import within, within_header
from folkmoot.runtime.tracing import Tracing


class RunTracing:
    """The span of one run of a call, for as long as the run lasts here."""

    def __init__(self, tracing: Tracing | None, clock: Clock, call: Call, run: int) -> None:
        exported = tracing is not None and tracing.sender is not None
        self._tracing = tracing if exported else None
        self._clock, self._call, self._run = clock, call, run
        sampler = Sampler() if tracing is None else tracing.sampler
        self._trace, self._told = call_context(call), is_told(call, sampler)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let what runs meanwhile be within the run's span, or the publisher's if none is written.

        What is logged meanwhile says which step it is about.
        """
        call = self._call
        run = run_span_id(call.call_id, self._run)
        with (
            working_on(call.saga_id, call.step_id),
            within_header(call.traceparent)
            if self._tracing is None
            else within(self._trace.trace_id, run, self._told),
        ):
            yield

    @contextmanager
    def calling(self, key: str) -> Iterator[None]:
        """Let what runs meanwhile be within the span of the call that is journaled under `key`."""
        if self._tracing is None:
            yield
            return
        began_at, error = self._clock.now(), None
        own = journal_span_id(self._call.call_id, self._run, key)
        try:
            with within(self._trace.trace_id, own, self._told):
                yield
        except BaseException as problem:
            error = type(problem).__name__
            raise
        finally:
            if self._told:
                self._tracing.export(self._span(own, key, began_at, error))

    def _span(self, own: int, key: str, began_at: int, error: str | None) -> Span:
        call, name = self._call, key.partition("#")[0]
        said = {
            schema.SAGA_ID: call.saga_id,
            schema.STEP_ID: call.step_id,
            schema.JOURNAL_KEY: key,
        }
        if error is not None:
            said[schema.ERROR_TYPE] = error
        parent = run_span_id(call.call_id, self._run)
        times = (began_at, self._clock.now())
        return Span(
            f"call {name}",
            self._trace.trace_id,
            own,
            parent,
            *times,
            error=error,
            attributes=said,
        )
