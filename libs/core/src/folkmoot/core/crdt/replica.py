"""A replica of shared documents, without input or output: what to tell, and what to learn.

- A change is told at once, to all.
- Every round, each replica sums up its documents. Who finds a fingerprint that is not its own asks
  that peer, saying what it has, and the peer tells what is missing. So nothing depends on any one
  message or on an order, and what is exchanged follows what differs.
- Of several peers with the same fingerprint one is asked in a round; an answer goes to all, because
  one who lacks something is seldom alone.
- Two states that have the same digest and another fingerprint have *diverged*: a dot was used
  twice, or a program is wrong. It is reported, and mended by telling the whole state.

Nothing that a peer says raises; what cannot be used is a `Problem`, counted by kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from folkmoot.core.crdt.kinds import C, Crdt, gather, join, kind_of
from folkmoot.core.crdt.limits import (
    DOCUMENTS_MAX,
    MESSAGE_BYTES_MAX,
    KindMismatch,
    LimitExceeded,
    MalformedState,
    check_id,
)
from folkmoot.core.crdt.messages import Delta, Message, Question, Summary, check_name, decode
from folkmoot.core.crdt.parts import json_bytes, runs

ENVELOPE_BYTES = 1024
"""Of a message, kept free for what surrounds a state: names, kind and braces."""

ProblemKind = Literal["malformed", "mismatched", "refused", "diverged"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What was wrong with something that a peer said, or what it revealed."""

    kind: ProblemKind
    detail: str


class Replica:
    """The documents of one replica. Its id must be new for each incarnation of a process."""

    def __init__(self, replica: str, *, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self.replica = check_id(replica, "replica")
        self.documents: dict[str, Crdt] = {}
        self.problems: Counter[ProblemKind] = Counter()
        self._state_bytes_max = message_bytes_max - ENVELOPE_BYTES
        self._untold: dict[str, Crdt] = {}
        self._messages: list[Message] = []
        self._asked: set[tuple[str, str]] = set()
        self.differing = 0
        """Documents that some peer had otherwise in the last whole round."""

    # -- documents --------------------------------------------------------------------------

    def document(self, name: str, cls: type[C]) -> C:
        """Return a document, made when first asked for.

        Raises:
            InvalidName: there can be no such document.
            KindMismatch: it exists and is of another kind.
            LimitExceeded: there are too many documents.
        """
        found = self.documents.get(name)
        if found is None:
            if len(self.documents) >= DOCUMENTS_MAX:
                raise LimitExceeded(f"a replica has at most {DOCUMENTS_MAX:,} documents")
            found = self.documents[check_name(name)] = cls(self.replica)
        if not isinstance(found, cls):
            raise KindMismatch(f"document {name!r} is of kind {found.KIND}, not {cls.KIND}")
        return found

    def mutate(self, name: str, cls: type[C], change: Callable[[C], C]) -> C:
        """Change a document, and tell of it; `change` returns the delta, and so does this.

        Raises:
            InvalidName, KindMismatch, LimitExceeded: as for `document`.
        """
        delta = change(self.document(name, cls))
        gather(self._untold, name, delta)
        return delta

    def learn(self, name: str, state: Crdt) -> bool:
        """Join what is known elsewhere of a document; whether that was news.

        Raises:
            InvalidName, KindMismatch, LimitExceeded: nothing was learned.
        """
        return join(self.document(name, type(state)), state)

    # -- what to tell -----------------------------------------------------------------------

    def begin_round(self) -> None:
        """Sum up all documents for the peers, and ask anew what differs."""
        self.differing = len({name for name, _ in self._asked})
        self._asked.clear()
        listed = [(n, (c.KIND, c.fingerprint())) for n, c in sorted(self.documents.items())]
        for run in runs(listed, json_bytes, self._state_bytes_max):
            self._messages.append(Summary(dict(run)))

    def has_news(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._untold or self._messages)

    def take_messages(self) -> list[Message]:
        """Return what is to be told now, and take it as told."""
        messages, self._messages = self._messages, []
        untold, self._untold = self._untold, {}
        for name, delta in untold.items():
            messages += [Delta(name, part) for part in delta.parts(self._state_bytes_max)]
        return messages

    # -- what is heard ----------------------------------------------------------------------

    def hear(self, sender: str, value: Any) -> Problem | None:
        """Take in a message of `sender`, as JSON values; a problem changes nothing here."""
        try:
            problem = self._hear(sender, decode(value))
        except KindMismatch as error:
            problem = Problem("mismatched", str(error))
        except MalformedState as error:
            problem = Problem("malformed", str(error))
        except LimitExceeded as error:
            problem = Problem("refused", str(error))
        if problem is not None:
            self.problems[problem.kind] += 1
        return problem

    def _hear(self, sender: str, message: Message) -> Problem | None:
        match message:
            case Delta(document, state):
                self.learn(document, state)
                return None
            case Summary(documents):
                return self._compare(sender, documents)
            case Question():
                return self._answer(sender, message) if message.to == self.replica else None

    def _compare(self, sender: str, documents: Any) -> Problem | None:
        problem = None
        for name, (kind, fingerprint) in documents.items():
            try:
                self._ask(sender, name, kind, fingerprint)
            except KindMismatch as error:  # the other documents are compared all the same
                problem = Problem("mismatched", f"{sender} has {name!r} otherwise: {error}")
        return problem

    def _ask(self, sender: str, name: str, kind: str, fingerprint: str) -> None:
        mine = self.documents.get(name)
        if mine is None:
            mine = kind_of(kind)()
        elif kind != mine.KIND:
            raise KindMismatch(f"it is of kind {mine.KIND} here and {kind} there")
        if mine.fingerprint() == fingerprint or (name, fingerprint) in self._asked:
            return
        self._asked.add((name, fingerprint))
        digest = mine.digest()
        if json_bytes(digest) > self._state_bytes_max:
            digest = None
        self._messages.append(Question(sender, name, kind, mine.fingerprint(), digest))

    def _answer(self, sender: str, question: Question) -> Problem | None:
        mine = self.documents.get(question.document)
        if mine is None:
            return None
        if question.kind != mine.KIND:
            raise KindMismatch(
                f"{question.document!r} is of kind {mine.KIND} here, not {question.kind}"
            )
        lacking = mine.delta_since(question.digest)
        if lacking is not None:
            gather(self._untold, question.document, lacking)
        elif question.digest == mine.digest() and question.fingerprint != mine.fingerprint():
            gather(self._untold, question.document, mine)
            return Problem(
                "diverged",
                f"{question.document!r} is not the same here and at {sender}, though both have "
                "seen the same: a replica id was used twice, or there is an error",
            )
        return None
