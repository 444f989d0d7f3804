"""What a planted defect is: a change of the text of the sources, and the promise that it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CORE = "libs/core/src/folkmoot/core"


@dataclass(frozen=True, slots=True)
class Change:
    """`before` stands exactly once in `file`, and becomes `after`."""

    file: str
    before: str
    after: str

    def apply(self, root: Path) -> None:
        """Change the file below `root`.

        Raises:
            ValueError: the text does not stand there exactly once.
        """
        path = root / self.file
        text = path.read_text()
        if text.count(self.before) != 1:
            raise ValueError(f"{text.count(self.before)} times in {self.file}: {self.before!r}")
        path.write_text(text.replace(self.before, self.after))


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted defect: its name, the promise that it breaks, and the changes that make it."""

    name: str
    breaks: str
    changes: tuple[Change, ...]


def mutant(name: str, breaks: str, file: str, before: str, after: str) -> Mutant:
    """Return a defect that one change makes."""
    return Mutant(name, breaks, (Change(file, before, after),))
