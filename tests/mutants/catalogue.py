"""Defects that somebody might put into the kernel one day, each of which a test has to notice.

A mutant is a change of the text of the sources. It says what it breaks, so that one which survives
says which check is missing.
"""

from __future__ import annotations

from tests.mutants.machines import MACHINES
from tests.mutants.mutant import CORE, Change, Mutant
from tests.mutants.mutant import mutant as _mutant

KERNEL = f"{CORE}/kernel"
RUNTIME = "libs/runtime/src/folkmoot/runtime"
CONTRACTS = "libs/contracts/src/folkmoot/contracts"


LEADERSHIP = f"{KERNEL}/leadership.py"
SHARD = f"{KERNEL}/shard.py"
TERM = f"{RUNTIME}/term.py"
REPLICA = f"{RUNTIME}/replica.py"
EMITTER = f"{RUNTIME}/emitter.py"
SNAPSHOT = f"{KERNEL}/snapshot.py"
SHELF = f"{RUNTIME}/shelf.py"

RULE = (
    _mutant(
        "claim-expects-nothing",
        "I2: a claim never beats a leader's record before it",
        LEADERSHIP,
        "return (claim.expected_term, claim.expected_last) == (self.term, self.last)",
        "return True",
    ),
    _mutant(
        "claim-expects-the-term-only",
        "I2: a claim never beats a leader's record before it",
        LEADERSHIP,
        "return (claim.expected_term, claim.expected_last) == (self.term, self.last)",
        "return claim.expected_term == self.term",
    ),
    _mutant(
        "entries-of-any-term",
        "I1: what a leader writes that has been followed does not count",
        LEADERSHIP,
        "if self.holder is None or record.term != self.term:",
        "if self.holder is None:",
    ),
    _mutant(
        "beats-defeat-no-claim",
        "I2: a beat before a claim defeats it",
        LEADERSHIP,
        "        self.last = offset\n        if isinstance(record, Resign):",
        "        if isinstance(record, Resign):",
    ),
    _mutant(
        "resigned-and-still-holding",
        "a leader that resigned is followed at once",
        LEADERSHIP,
        "self.holder, self.heir, self.resigned_at = None, record.to, record.at",
        "self.heir, self.resigned_at = record.to, record.at",
    ),
    _mutant(
        "no-courtesy",
        "the named heir comes first",
        LEADERSHIP,
        "if self.resigned_at is None or self.heir in (None, claim.member):",
        "if self.holder is None:",
    ),
    _mutant(
        "courtesy-for-ever",
        "I7: an heir that never comes does not keep the shard from the others",
        LEADERSHIP,
        "return claim.at >= self.resigned_at + COURTESY_MS",
        "return False",
    ),
    _mutant(
        "any-epoch",
        "a claim with an older grant loses",
        LEADERSHIP,
        "if claim.epoch < self.epoch or not self._is_open_to(claim):",
        "if not self._is_open_to(claim):",
    ),
    _mutant(
        "terms-are-counted",
        "I1: a term is the offset of its claim",
        LEADERSHIP,
        "self.term = self.last = offset",
        "self.term, self.last = self.term + 1, offset",
    ),
)

STATE = (
    _mutant(
        "holes-go-unnoticed",
        "a log that lost records halts its readers",
        SHARD,
        "        if offset != self.next_offset:\n            raise LogTruncated(",
        "        if False:\n            raise LogTruncated(",
    ),
    _mutant(
        "inputs-twice-by-offset",
        "I4: an input is decided once",
        SHARD,
        "received.offset < self.consumed.get(received.topic, 0)",
        "received.offset < 0",
    ),
    _mutant(
        "the-last-input-twice-by-mark",
        "I4: an input is decided once, however often it was sent",
        SHARD,
        "return received.mark <= self.marks",
        "return received.mark < self.marks",
    ),
    _mutant(
        "watermarks-not-logged",
        "I4: the next leader knows what was decided",
        SHARD,
        "            self._unlogged_marks[received.origin] = highest\n",
        "",
    ),
    _mutant(
        "consumption-not-logged",
        "I4: the next leader knows what was decided",
        SHARD,
        "            self._unlogged_consumed[received.topic] = following\n",
        "",
    ),
    _mutant(
        "effects-before-their-entry",
        "I5: no effect of an entry that does not count is acted on",
        SHARD,
        "self._decided.append((entry, sends, locals_))",
        "self.pending.extend(sends)\n        self._decided.append((entry, [], locals_))",
    ),
    _mutant(
        "one-entry-too-many-acknowledged",
        "I5: every effect reaches its target",
        SHARD,
        "while self.pending and self.pending[0].mark.offset <= offset:",
        "while self.pending and self.pending[0].mark.offset <= offset + 1:",
    ),
    _mutant(
        "acknowledgements-not-logged",
        "effects that were acknowledged are not pending for ever",
        SHARD,
        "emitted = self.emitted if self.emitted != self._logged_emitted else None",
        "emitted = None",
    ),
    _mutant(
        "log-time-runs-back",
        "log time never runs backwards",
        SHARD,
        "        self.at = max(self.at, now)\n        events = tuple(self._events(received))",
        "        self.at = now\n        events = tuple(self._events(received))",
    ),
    Mutant(
        "wall-clock-in-apply",
        "I3: equal state at equal offsets",
        (
            Change(
                SHARD, "from collections import deque", "import time\nfrom collections import deque"
            ),
            Change(
                SHARD,
                "sends, locals_ = self._apply(record.events, Position(offset, record.at))",
                "sends, locals_ = self._apply(\n"
                "                record.events, Position(offset, time.time_ns() // 1_000_000)\n"
                "            )",
            ),
        ),
    ),
    _mutant(
        "effects-share-a-mark",
        "I5: a receiver tells the effects of an entry apart",
        SHARD,
        "mark = Mark(position.offset, len(sends))",
        "mark = Mark(position.offset, 0)",
    ),
    _mutant(
        "rejected-inputs-vanish",
        "what cannot be decided becomes a dead letter",
        SHARD,
        "return (dead_letter(event),)",
        "return ()",
    ),
    _mutant(
        "acknowledged-effects-come-back-over-a-gap",
        "what has been acknowledged is not sent again in the same term",
        SHARD,
        "        self.acknowledge(stale.emitted)\n",
        "",
    ),
)

DRIVER = (
    Mutant(
        "contiguity-not-checked",
        "a leader that was followed in between is fenced",
        (
            Change(TERM, "if first == self.shard.next_offset:", "if True:"),
            Change(
                SHARD,
                "        if first_offset != self.next_offset:\n"
                "            raise AppendedElsewhere(",
                "        if False:\n            raise AppendedElsewhere(",
            ),
        ),
    ),
    _mutant(
        "a-gap-never-ends-a-term",
        "a leader that was followed in between is fenced",
        TERM,
        "if not shard.leads or shard.leadership.term != self._number:",
        "if False:",
    ),
    _mutant(
        "requests-made-again-over-a-gap",
        "a local request is made once in a term",
        TERM,
        "requests += local if offset >= first else ()",
        "requests += local",
    ),
    _mutant(
        "an-uncertain-append-is-taken-to-stand",
        "an append of unknown outcome ends the term",
        TERM,
        "        first = await self._channels.log.append(name.log, name.partition, records)\n",
        "        try:\n"
        "            first = await self._channels.log.append(name.log, name.partition, records)\n"
        "        except BusError:\n"
        "            first = self.shard.next_offset\n",
    ),
    _mutant(
        "an-uncertain-append-is-taken-to-be-lost",
        "an append of unknown outcome ends the term",
        TERM,
        "        first = await self._channels.log.append(name.log, name.partition, records)\n",
        "        for _ in range(3):\n"
        "            try:\n"
        "                log = self._channels.log\n"
        "                first = await log.append(name.log, name.partition, records)\n"
        "                break\n"
        "            except BusError:\n"
        "                continue\n",
    ),
    _mutant(
        "confirmed-before-it-stands",
        "a submission is confirmed when its decision is in the log",
        TERM,
        "            self._decide_timers(now, records)\n",
        "            self._decide_timers(now, records)\n            self._intake.settle()\n",
    ),
    _mutant(
        "questions-see-what-is-not-in-the-log",
        "nobody is told what is not in the log",
        TERM,
        "        self._committed.clear()\n",
        "",
    ),
    _mutant(
        "a-stall-counts-as-silence",
        "silence is what was listened to, not what was slept through",
        REPLICA,
        "waited_ms = min(self._clock.monotonic() - asked_at, SILENCE_STEP_MS)",
        "waited_ms = self._clock.monotonic() - asked_at",
    ),
    _mutant(
        "the-ttl-is-not-waited-for",
        "a living leader is not disturbed",
        f"{RUNTIME}/candidacy.py",
        "return self._timing.ttl_ms + delay",
        "return delay",
    ),
    _mutant(
        "poison-is-forgotten",
        "an input that breaks a decision is put aside",
        REPLICA,
        "            self._seat.poison[received.topic, received.offset] = verdict\n",
        "            del verdict\n",
    ),
    _mutant(
        "effects-that-failed-are-passed-over",
        "I5: every effect reaches its target",
        EMITTER,
        "                for (topic, partition), records in groups.items()\n"
        "            )\n        )",
        "                for (topic, partition), records in groups.items()\n            ),\n"
        "            return_exceptions=True,\n        )",
    ),
    _mutant(
        "half-an-entry-is-acknowledged",
        "I5: every effect reaches its target",
        EMITTER,
        "            if effect.mark.offset != last:\n",
        "            if True:\n",
    ),
    _mutant(
        "unknown-events-are-skipped",
        "I3: a member that does not know an event halts",
        f"{CONTRACTS}/codec.py",
        "happened = tuple([_decode_event(event, events) for event in orjson.loads(value)])",
        "happened = tuple(\n"
        "                _decode_event(event, events)\n"
        "                for event in orjson.loads(value)\n"
        '                if event["type"] in {**events, **KERNEL_EVENTS}\n'
        "            )",
    ),
)

SNAPSHOTS = (
    _mutant(
        "snapshots-without-progress",
        "I8: a shard from a snapshot goes on as one that has read the whole log",
        SNAPSHOT,
        "    shard.consumed.update(snapshot.consumed)\n",
        "",
    ),
    _mutant(
        "snapshots-without-watermarks",
        "I4: an input is decided once, also after a restore",
        SNAPSHOT,
        "    shard.marks.update(snapshot.marks)\n",
        "",
    ),
    _mutant(
        "snapshots-without-effects",
        "I5: every effect reaches its target, also after a restore",
        SNAPSHOT,
        "    shard.pending.extend(snapshot.pending)\n",
        "",
    ),
    _mutant(
        "snapshots-without-the-term",
        "I8: a shard from a snapshot goes on as one that has read the whole log",
        SNAPSHOT,
        "    shard.leadership = replace(snapshot.leadership)\n",
        "",
    ),
    _mutant(
        "snapshots-of-what-is-not-logged",
        "a snapshot holds what the log says and nothing else",
        SHARD,
        "return not ahead and self.emitted == self._logged_emitted",
        "return True",
    ),
    _mutant(
        "damaged-snapshots-are-used",
        "a snapshot that is not what was written is passed over",
        SHELF,
        "if sealed(manifest) != manifest or sha256(content).hexdigest() != manifest.content:",
        "if False:",
    ),
    _mutant(
        "the-only-snapshot-is-written-over",
        "a snapshot that fails half-way leaves the older one",
        SHELF,
        "return next(place for place in PLACES if newest is None or place != newest.place)",
        "return next(iter(PLACES))",
    ),
    _mutant(
        "snapshots-of-any-schema",
        "a snapshot of another schema is passed over",
        f"{RUNTIME}/snapshots.py",
        "        if manifest.schema != schema:\n",
        "        if False:\n",
    ),
    _mutant(
        "another-log-is-read-on",
        "a log that was truncated or made anew halts its readers",
        f"{RUNTIME}/snapshots.py",
        "if not found or found[0].offset != offset or fingerprint(found[0]) != expected:",
        "if False:",
    ),
)

READERS = (
    _mutant(
        "the-index-believes-every-leader",
        "I8: the index holds the events of entries that count, and no others",
        "services/event-store/src/folkmoot/event_store/following.py",
        "if not isinstance(decoded, Entry) or not verdict.counts:",
        "if not isinstance(decoded, Entry):",
    ),
    _mutant(
        "a-stopped-handler-is-entered",
        "a handler that is cancelled before it began does nothing",
        "services/agent-worker/src/folkmoot/agent_worker/handlers.py",
        "        if asyncio.current_task() in self._stopped:\n            return HandlerFailed(",
        "        if False:\n            return HandlerFailed(",
    ),
)

MUTANTS: tuple[Mutant, ...] = RULE + STATE + DRIVER + SNAPSHOTS + MACHINES + READERS
